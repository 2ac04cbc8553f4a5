package real

import "testing"

func TestHollowNodes(t *testing.T) {
	t.Parallel()
	c := NeedControlPlane(t, ControlPlaneOptions{})
	nodes := NeedHollowNodes(t, HollowNodesOptions{ControlPlane: c, Count: 2})
	for _, n := range nodes {
		lease, err := c.APIServer.Lease(t.Context(), "kube-node-lease", n.Name)
		if err != nil || lease.Holder != n.Name {
			t.Errorf("lease %+v, %v", lease, err)
		}
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}
