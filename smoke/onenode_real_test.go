package smoke

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// A cluster of one node proves what one can.
func TestClusterOfOneNode(t *testing.T) {
	t.Parallel()
	cluster := needCluster(t, real.ClusterOptions{Nodes: 1})
	var both sync.WaitGroup
	both.Go(func() { t.Run("sweep", func(t *testing.T) { sweepsEarlierRuns(t, cluster) }) })
	both.Go(func() {
		t.Run("CRI beside the kubelet", func(t *testing.T) { containersBesideKubelet(t, cluster.Nodes[0]) })
	})
	both.Wait()
}

// What an earlier run has left, and the cluster has not removed, the next one
// does; what is of a run under way it lets be.
func sweepsEarlierRuns(t *testing.T, cluster *real.Cluster) {
	c := needClient(t, cluster.APIServer.Kubeconfig)
	s := in("grapevine-smoke")
	r := makeRun(t.Context(), t, c, s, Options{})
	wantsGreen(t, r)
	if !slices.Equal(r.Notes, []string{"node-0 is the only node that can be used, of 1: the way between nodes is not proven"}) {
		t.Errorf("notes %q", r.Notes)
	}
	// Two runs that stop before they clear up.
	begin := func() *run {
		r := newRun(t.Context(), c, s, Options{})
		if v := r.admitServers(t.Context()); !v.passed() {
			t.Fatal(v.reason)
		}
		return r
	}
	left, next := begin(), begin()
	next.sweep(t.Context())
	if len(next.report.Swept) > 0 {
		t.Errorf("swept of a run under way: %v", next.report.Swept)
	}
	next.started = next.started.Add(s.overdue() + 5*time.Second)
	next.sweep(t.Context())
	if len(next.report.Swept) != 3 || strings.Contains(strings.Join(next.report.Swept, " "), next.id) {
		t.Errorf("swept %v, want what is of %s", next.report.Swept, left.id)
	}
	must(t, eventually(t.Context(), func() error {
		all, err := made(t.Context(), cluster)
		if err == nil && strings.Contains(all[s.Namespace], left.name("")) {
			err = fmt.Errorf("still there: %s", all[s.Namespace])
		}
		return err
	}))
	next.clear(t.Context())
	next.follower.close()
	nothingLeft(t, cluster, s.Namespace)
}

// The kubelet ends sandboxes that it does not know: that is no fault of the
// runtime's.
func containersBesideKubelet(t *testing.T, node *real.Node) {
	s := containerSettings()
	s.Patience, s.Deadline = ample, 4*ample
	for range 5 {
		r, err := RunContainers(t.Context(), s, ContainerOptions{Runtime: CRI, Socket: node.Containerd.Socket, Node: node.Name})
		must(t, err)
		logReport(t, r)
		if r.Status != health.OK && r.Status != health.Unknown {
			t.Errorf("the kubelet is taken for a fault: %s", r.Reason)
		}
		if len(r.Leftovers) > 0 {
			t.Errorf("left: %v", r.Leftovers)
		}
	}
}
