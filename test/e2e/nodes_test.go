package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// everyNode is one pod on each of two nodes, which gives them a pod network.
const everyNode = `apiVersion: apps/v1
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
`

// onNode starts an agent on a node of a Kubernetes cluster.
func onNode(t *testing.T, cluster *real.Cluster, n *real.Node, join ...string) *real.Agent {
	t.Helper()
	return real.NeedAgent(t, real.AgentOptions{
		Name: n.Name, In: n.Host, Address: n.IP, Join: join, ExtraArgs: []string{"--mesh.insecure"},
		Checks: []string{"cri", "host-network", "kubelet", "mtu", "overlay", "pods", "service"},
		Config: fmt.Sprintf(`
checks:
  cri: {sockets: [%[1]q], interval: 5s, timeout: 2s}
  host-network: {interval: 5s, timeout: 3s, answer_timeout: 500ms}
  kubelet: {health_url: %[2]q, kubeconfig: %[3]q, node_name: %[4]s, interval: 5s, timeout: 3s, node_interval: 5s, thresholds: {certificate: {warning: 1h, critical: 1m}}}
  overlay: {interface: cni0, interval: 5s, timeout: 3s, answer_timeout: 500ms}
  pods: {kubeconfig: %[3]q, node_name: %[4]s}
  service: {kubeconfig: %[3]q, interval: 5s, timeout: 4s}
`, n.Containerd.Socket, n.HealthURL, cluster.APIServer.Kubeconfig, n.Name),
	})
}

// TestNodesOfACluster looks at real nodes through an agent on another one:
// what breaks is named there, a cordon keeps it quiet, and a node that dies is
// told from a pod network that does.
func TestNodesOfACluster(t *testing.T) {
	t.Parallel()
	k8s := real.NeedCluster(t, real.ClusterOptions{Nodes: 2})
	if _, err := k8s.Kubectl(t.Context(), everyNode, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	if _, err := k8s.Kubectl(t.Context(), "", "-n", "kube-system", "rollout", "status", "deploy/everywhere", "--timeout=90s"); err != nil {
		t.Fatal(err)
	}
	here, there := k8s.Nodes[0], k8s.Nodes[1]
	a := onNode(t, k8s, here)
	b := onNode(t, k8s, there, a.Gossip)
	(&cluster{t: t}).converged(a, b)

	verdict := func(value float64, check, subject string) func(context.Context) error {
		return func(ctx context.Context) error {
			return wants(ctx, a, "grapevine_check_status", value, "node", there.Name, "check", check, "subject", subject)
		}
	}
	for check, subject := range map[string]string{
		"cri": there.Containerd.Socket, "kubelet": "node", "pods": "system pods", "service": "10.0.0.1:443",
		"host-network": here.Name, "overlay": here.Name,
	} {
		eventually(t, check+" of the other node is well", verdict(0, check, subject))
	}

	everyFamilyIsDocumented(t, a)

	if err := there.Containerd.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dead runtime is named on the other node", verdict(2, "cri", there.Containerd.Socket))
	if out, code := grapevine(t, "status", "--url="+a.URL); code != 2 || !strings.Contains(out, there.Name) || !strings.Contains(out, "connection refused") {
		t.Errorf("status exits %d:\n%s", code, out)
	}

	if _, err := k8s.Kubectl(t.Context(), "", "cordon", there.Name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a cordoned node pages nobody", verdict(3, "cri", there.Containerd.Socket))
	if err := wants(t.Context(), a, "grapevine_node_maintenance", 1, "node", there.Name, "reason", "cordoned"); err != nil {
		t.Error(err)
	}
	if _, err := k8s.Kubectl(t.Context(), "", "uncordon", there.Name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is judged again", verdict(2, "cri", there.Containerd.Socket))

	if err := there.Stop(); err != nil {
		t.Fatal(err)
	}
	seenFrom := func(value float64, check string) func(context.Context) error {
		return func(ctx context.Context) error {
			return wants(ctx, a, "grapevine_check_status", value, "node", here.Name, "check", check, "subject", there.Name)
		}
	}
	eventually(t, "the node does not answer", seenFrom(2, "host-network"))
	eventually(t, "its pod network is not blamed", seenFrom(3, "overlay"))
}
