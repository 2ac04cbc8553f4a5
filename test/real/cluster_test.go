package real

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/grapevine-mesh/grapevine/test/thread"
)

const webManifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]
      containers:
      - {name: web, image: "` + PauseImage + `", imagePullPolicy: Never}
`

// on runs f in the network of a node.
func (n *Node) on(t *testing.T, f func() error) error {
	t.Helper()
	done := make(chan error)
	thread.Own(func() {
		if err := n.enter(); err != nil {
			done <- err
			return
		}
		done <- f()
	})
	return <-done
}

// reaches sends from the pod network of a node to a pod of another one. No pod
// listens there, and who is refused has been heard.
func (n *Node) reaches(t *testing.T, pod string) bool {
	t.Helper()
	_, network, err := net.ParseCIDR(n.PodCIDR)
	if err != nil {
		t.Fatal(err)
	}
	from := network.IP.To4()
	from[3]++ // the bridge's own
	err = n.on(t, func() error {
		conn, err := (&net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: from}}).Dial("tcp", net.JoinHostPort(pod, "1"))
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	return errors.Is(err, syscall.ECONNREFUSED)
}

// A real pod runs on each node and they reach each other; from each node the
// cluster addresses of the API and of DNS are reached. Each fault shows until
// it is healed.
func TestCluster(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	c := NeedCluster(t, ClusterOptions{Nodes: 2, DNS: true})
	t.Logf("started in %v", time.Since(begun))
	if _, err := c.Kubectl(t.Context(), webManifest, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kubectl(t.Context(), "", "rollout", "status", "deploy/web", "--timeout=60s"); err != nil {
		t.Fatal(err)
	}
	pods := make([]string, 2)
	for i, n := range c.Nodes {
		var err error
		pods[i], err = c.Kubectl(t.Context(), "", "get", "pods", "--field-selector=spec.nodeName="+n.Name, "-o", "jsonpath={.items[*].status.podIP}")
		if err != nil || net.ParseIP(pods[i]) == nil {
			t.Fatalf("the pod of %s has the address %q: %v", n.Name, pods[i], err)
		}
		if err := answers200(plainClient(), n.HealthURL+"/healthz")(t.Context()); err != nil {
			t.Error(err)
		}
	}
	t.Run("pods are cut", func(t *testing.T) { c.testCut(t, pods) })
	t.Run("services are forgotten", c.testForget)
	t.Run("DNS", c.testDNS)
	begun = time.Now()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %v", time.Since(begun))
}

func (c *Cluster) testCut(t *testing.T, pods []string) {
	sees := func(there, back bool) {
		t.Helper()
		if got := c.Nodes[0].reaches(t, pods[1]); got != there {
			t.Errorf("node-0 reaches a pod of node-1: %v", got)
		}
		if got := c.Nodes[1].reaches(t, pods[0]); got != back {
			t.Errorf("node-1 reaches a pod of node-0: %v", got)
		}
	}
	sees(true, true)
	heal, err := c.CutPods(t.Context(), c.Nodes[0], c.Nodes[1])
	if err != nil {
		t.Fatal(err)
	}
	sees(false, true)
	if err := heal(t.Context()); err != nil {
		t.Error(err)
	}
	sees(true, true)
}

func (c *Cluster) testForget(t *testing.T) {
	n := c.Nodes[1]
	ask := func() error {
		_, err := n.Run(t.Context(), Binary(t, "kubectl"), "--kubeconfig="+n.Kubeconfig, "--server=https://10.0.0.1", "--request-timeout=2s", "get", "--raw=/readyz")
		return err
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
	heal, err := n.ForgetServices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(); err == nil {
		t.Error("the cluster address answers without kube-proxy's rules")
	}
	if err := heal(t.Context()); err != nil {
		t.Error(err)
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
}

func (c *Cluster) testDNS(t *testing.T) {
	ask := func(name string) (answer *dns.Msg, err error) {
		client := dns.Client{Timeout: time.Second}
		err = c.Nodes[0].on(t, func() error {
			answer, _, err = client.ExchangeContext(context.WithoutCancel(t.Context()), new(dns.Msg).SetQuestion(name, dns.TypeA), net.JoinHostPort(dnsAddress, "53"))
			return err
		})
		return answer, err
	}
	for name, want := range map[string]string{
		"Kubernetes.default.svc.cluster.local.":                           "10.0.0.1",
		"nobody.default.svc.cluster.local.":                               "NXDOMAIN",
		"kubernetes.default.svc.cluster.local.default.svc.cluster.local.": "NXDOMAIN",
		"cluster.local.": "NXDOMAIN",
		"example.com.":   "REFUSED",
	} {
		answer, err := ask(name)
		if err != nil {
			t.Fatal(err)
		}
		got := dns.RcodeToString[answer.Rcode]
		if len(answer.Answer) > 0 {
			got = answer.Answer[0].(*dns.A).A.String()
		}
		if got != want {
			t.Errorf("%s is %s, not %s", name, got, want)
		}
	}
	if err := c.DNS.Stop(); err != nil {
		t.Error(err)
	}
	if answer, err := ask("kubernetes.default.svc.cluster.local."); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("without a server: %v, %v", answer, err)
	}
	if err := c.DNS.Start(); err != nil {
		t.Error(err)
	}
	if _, err := ask("kubernetes.default.svc.cluster.local."); err != nil {
		t.Error(err)
	}
}
