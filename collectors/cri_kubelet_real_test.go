package collectors

import (
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// The kubelet ends sandboxes that it does not know: no reason to page.
func TestCRICanaryBesideKubelet(t *testing.T) {
	t.Parallel()
	node := real.NeedCluster(t, real.ClusterOptions{}).Nodes[0]
	importCanary(t, node.Containerd)
	check, socket := newCRICheck(t, node.Containerd.Socket, "on"), node.Containerd.Socket
	disturbed, runs := 0, 0
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); runs++ {
		run(t, check, criTimeout).expect(t, socket, health.OK)
		if check.runtimes[0].canary.disturbed > 0 {
			disturbed++
		}
	}
	t.Logf("%d canaries, %d of them ended by the kubelet", runs, disturbed)
}
