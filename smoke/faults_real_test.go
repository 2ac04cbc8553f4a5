package smoke

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// fault is what operators meet. It turns one step red and no other, and the
// reason of that step holds all of says.
type fault struct {
	name   string
	breaks func(context.Context, *real.Cluster) (undo, error)
	red    string
	says   []string
	nodes  []string // that the step points at; empty: both may be to blame, or none
}

// TestFaults waits for most of its time, so both halves take the room of one
// test.
func TestFaults(t *testing.T) {
	t.Parallel()
	var both sync.WaitGroup
	both.Go(func() { t.Run("of a node", faultsOfANode) })
	both.Go(func() { t.Run("of a cluster", faultsOfACluster) })
	both.Wait()
}

// faultsOfANode are of its parts, one after the other.
func faultsOfANode(t *testing.T) {
	cluster := needCluster(t, real.ClusterOptions{Nodes: 2})
	meet(t, cluster, Default(), []fault{
		{
			name: "its kubelet is stopped", breaks: kubeletStopped,
			red: StepStart, says: []string{"the kubelet on node-1", "lease"}, nodes: []string{"node-1"},
		},
		{
			name: "its container runtime is stopped", breaks: runtimeStopped,
			red: StepRuntime, says: []string{"on node-1", "containerd.sock: connect: connection refused"}, nodes: []string{"node-1"},
		},
		{
			name: "its container runtime hangs", breaks: runtimeHangs,
			red: StepRuntime, says: []string{"on node-1", "renews its lease and takes no pod"}, nodes: []string{"node-1"},
		},
	})
}

// faultsOfACluster are of what nodes share, one after the other. Runs that were
// killed are there all the while, and are gone at the end. A webhook that is
// down and an image that is absent are in TestRealCluster.
func faultsOfACluster(t *testing.T) {
	cluster := needCluster(t, real.ClusterOptions{Nodes: 2})
	began := time.Now()
	gone := killRuns(t, cluster, 2*time.Minute)
	t.Logf("%d runs were killed in %.1f s", len(killings), time.Since(began).Seconds())
	s := Default()
	s.Patience = 20 * time.Second // kubelets without time let go of pods at every second look, each 10 s
	meet(t, cluster, s, []fault{
		{
			name: "the scheduler is stopped", breaks: schedulerStopped,
			red: StepSchedule, says: []string{"no scheduler has looked at the pod"},
		},
		{
			name: "pods are cut one way", breaks: podsCut, red: StepTCP, says: []string{
				"what pods on node-0 send does not arrive on node-1",
				"what pods on node-1 send arrives on node-0, and the answers do not come back",
			},
		},
		{
			name: "kube-proxy's rules are gone", breaks: servicesForgotten,
			red: StepService, says: []string{"from node-1: ", "the cluster address 10.0.0.", "look at kube-proxy on node-1"}, nodes: []string{"node-1"},
		},
		{
			name: "DNS is dead", breaks: dnsDead,
			red: StepDNS, says: []string{"from node-0: ", "from node-1: ", "grapevine-smoke.svc is not resolved by 10.0.0.10"},
		},
	})
	must(t, <-gone)
	nothingRuns(t, cluster)
}

// meet has runs meet faults, and one that meets none any more.
func meet(t *testing.T, cluster *real.Cluster, s Settings, faults []fault) {
	t.Helper()
	client := needClient(t, cluster.APIServer.Kubeconfig)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			heal, err := f.breaks(t.Context(), cluster)
			must(t, err)
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
				defer cancel()
				began := time.Now()
				must(t, heal(ctx))
				t.Logf("healed in %.1f s", time.Since(began).Seconds())
			})
			f.judge(t, makeRun(t.Context(), t, client, s, Options{}))
		})
	}
	wantsGreen(t, makeRun(t.Context(), t, client, s, Options{}))
	nothingLeft(t, cluster, s.Namespace)
}

// judge holds the report of a run that met the fault against it.
func (f *fault) judge(t *testing.T, r Report) {
	t.Helper()
	if r.Seconds > 60 {
		t.Errorf("it took %.1f s to tell", r.Seconds)
	}
	red := slices.DeleteFunc(slices.Clone(r.Steps), func(s Step) bool { return s.Status != health.Critical })
	if len(red) != 1 || red[0].Name != f.red {
		t.Fatalf("red are %v, not %s", red, f.red)
	}
	for _, words := range f.says {
		if !strings.Contains(red[0].Reason, words) {
			t.Errorf("%s does not name %q: %s", f.red, words, red[0].Reason)
		}
	}
	if f.nodes != nil && !slices.Equal(red[0].Nodes, f.nodes) {
		t.Errorf("it points at %q, not %q", red[0].Nodes, f.nodes)
	}
	if r.Status != health.Critical || r.Reason != f.red+": "+red[0].Reason {
		t.Errorf("the run is %s: %s", r.Status, r.Reason)
	}
}

// nothingRuns looks at the nodes, whatever the API server says.
func nothingRuns(t *testing.T, cluster *real.Cluster) {
	t.Helper()
	for _, n := range cluster.Nodes {
		if out, err := n.Containerd.Ctr(t.Context(), "tasks", "list", "--quiet"); err != nil || out != "" {
			t.Errorf("on %s there runs %q, %v", n.Name, out, err)
		}
	}
}
