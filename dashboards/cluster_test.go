package dashboards

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// pods are one on each of two nodes, which gives them a pod network, and one
// that is in trouble.
const pods = `apiVersion: apps/v1
kind: Deployment
metadata: {name: everywhere, namespace: kube-system}
spec:
  replicas: 2
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec:
      topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: everywhere}}}]
      containers: [{name: main, image: "` + real.PauseImage + `", imagePullPolicy: Never}]
---
apiVersion: v1
kind: Pod
metadata: {name: without-image, namespace: kube-system}
spec:
  containers: [{name: main, image: "example.invalid/none:1", imagePullPolicy: Never}]
`

// notInCluster are words of queries that TestDemo has answers to, and this
// cluster has not.
var notInCluster = []absence{
	{"_etcd_peer_", "the cluster's etcd has one member"},
	{"_clock_|\"clock\"", "its nodes share one clock"},
	{"\"mesh\"", "what the demo shows"},
	{"_etcd_(wal_fsync|backend_commit)", "absent for a run in which etcd wrote nothing"},
}

// inCluster are queries that have an answer here for what is done to the cluster.
var inCluster = []string{"_pods_bad", "_certificates_expiry", "_mesh_certificate_expiry", "_mesh_refused_total"}

// knock is somebody at a node's exchange who is no peer.
func knock(t *testing.T, a *real.Agent) {
	t.Helper()
	c, err := net.Dial("tcp", a.Exchange)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	_ = c.Close()
}

// controlPlane starts an agent beside the control plane.
func controlPlane(t *testing.T, c *real.Cluster, k real.MeshKeys, address string) *real.Agent {
	t.Helper()
	component := func(m *real.Component) string {
		return fmt.Sprintf("{endpoints: [%q], insecure_skip_verify: true, kubeconfig: %q, hostname: %q}", m.URL, c.APIServer.Kubeconfig, m.Hostname)
	}
	return real.NeedAgent(t, real.AgentOptions{
		Name: "control-plane", Address: address, ExtraArgs: k.Flags("control-plane"),
		Checks: []string{"apiserver", "certificates", "controller-manager", "disk", "dns", "etcd", "host-network", "scheduler", "system"},
		Config: fmt.Sprintf(`
checks:
  apiserver: {kubeconfig: %q, service_address: none}
  certificates: {paths: [%q]}
  controller-manager: %s
  scheduler: %s
  disk: {paths: [%q]}
  dns: {outside_name: ""}
  etcd: {endpoints: [%q]}
  host-network: {interval: 5s, timeout: 3s, answer_timeout: 500ms}
`, c.APIServer.Kubeconfig, k.Certificates(), component(c.ControllerManagers[0]), component(c.Schedulers[0]), c.Etcd.Members[0].DataDir, c.Etcd.Members[0].ClientURL),
	})
}

// onNode starts an agent on a node.
func onNode(t *testing.T, c *real.Cluster, n *real.Node, k real.MeshKeys, join string) *real.Agent {
	t.Helper()
	return real.NeedAgent(t, real.AgentOptions{
		Name: n.Name, In: n.Host, Address: n.IP, Join: []string{join}, ExtraArgs: k.Flags(n.Name),
		Checks: []string{"cri", "host-network", "kubelet", "mtu", "overlay", "pods", "service", "smoke"},
		Config: fmt.Sprintf(`
checks:
  cri: {sockets: [%[1]q], interval: 5s, timeout: 2s}
  host-network: {interval: 5s, timeout: 3s, answer_timeout: 500ms}
  kubelet: {health_url: %[2]q, kubeconfig: %[3]q, node_name: %[4]s, interval: 5s, timeout: 3s, node_interval: 5s}
  overlay: {interface: cni0, interval: 5s, timeout: 3s, answer_timeout: 500ms}
  pods: {kubeconfig: %[3]q, node_name: %[4]s}
  service: {kubeconfig: %[3]q, interval: 5s, timeout: 4s}
  smoke: {enabled: true, kubeconfig: %[3]q, interval: 60s, deadline: 30s, patience: 10s, steps: {dns: false}}
`, n.Containerd.Socket, n.HealthURL, c.APIServer.Kubeconfig, n.Name),
	})
}

// smokeImage is a file with the image that the smoke tests run.
func smokeImage(t *testing.T) string {
	t.Helper()
	tar, err := os.Create(filepath.Join(t.TempDir(), "smoke.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tar.Close() }()
	cmd := exec.CommandContext(t.Context(), real.Binary(t, "grapevine"), "smoke-image")
	cmd.Stdout = tar
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return tar.Name()
}

// TestCluster asks what the demo has no answer to of a real cluster: a control
// plane and two nodes with kubelet, containerd, kube-proxy and a pod network.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := real.NeedCluster(t, real.ClusterOptions{Nodes: 2})
	tar := smokeImage(t)
	for _, n := range c.Nodes {
		if err := n.Containerd.Import(t.Context(), real.Image{Tar: tar}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Kubectl(t.Context(), pods, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kubectl(t.Context(), "", "-n", "kube-system", "rollout", "status", "deploy/everywhere", "--timeout=120s"); err != nil {
		t.Fatal(err)
	}
	ip := c.Nodes[0].IP
	k := real.NeedMeshKeys(t)
	a := controlPlane(t, c, k, ip[:strings.LastIndex(ip, ".")]+".1")
	for _, n := range c.Nodes {
		onNode(t, c, n, k, a.Gossip)
	}
	knock(t, a)
	absent := slices.DeleteFunc(slices.Clone(onlyIn), func(o absence) bool { return slices.Contains(inCluster, o.query) })
	v := scrape(t, fmt.Sprintf("  - {job_name: any, static_configs: [{targets: [%q]}]}\n", strings.TrimPrefix(a.URL, "http://")), notInCluster, absent)
	v.answersAll(t, "any node")
}
