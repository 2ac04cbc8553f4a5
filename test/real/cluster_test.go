package real

import (
	"strings"
	"testing"
	"time"
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

// A real pod runs on each node, and from each node the API's cluster address
// is reached as long as kube-proxy's rules are there.
func TestCluster(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	c := NeedCluster(t, ClusterOptions{Nodes: 2})
	t.Logf("started in %v", time.Since(begun))
	if _, err := c.Kubectl(t.Context(), webManifest, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kubectl(t.Context(), "", "rollout", "status", "deploy/web", "--timeout=60s"); err != nil {
		t.Fatal(err)
	}
	out, err := c.Kubectl(t.Context(), "", "get", "pods", "-o", "wide")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(out)
	for _, n := range c.Nodes {
		if !strings.Contains(out, n.Name) {
			t.Errorf("no pod on %s", n.Name)
		}
		if err := answers200(plainClient(), n.HealthURL+"/healthz")(t.Context()); err != nil {
			t.Error(err)
		}
	}
	n := c.Nodes[1]
	ask := func() error {
		_, err := n.Run(t.Context(), Binary(t, "kubectl"), "--kubeconfig="+n.Kubeconfig, "--server=https://10.0.0.1", "--request-timeout=2s", "get", "--raw=/readyz")
		return err
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
	if err := n.Proxy.Pause(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Run(t.Context(), "nft", "delete", "table", "ip", "kube-proxy"); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err == nil {
		t.Error("the cluster address answers without kube-proxy's rules")
	}
	begun = time.Now()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %v", time.Since(begun))
}
