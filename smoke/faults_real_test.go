package smoke

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// fault is what operators meet. It turns one step red and no other, and the
// reason of that step holds all of says. A run meets it on two nodes, the
// second of which has it.
type fault struct {
	name   string
	breaks func(context.Context, *real.Cluster, *real.Node) (undo, error)
	on     [2]int
	red    string
	says   []string
	nodes  []string // that the step points at; empty: both may be to blame, or none
	after  hooks    // so that a run hangs no longer than it needs to tell
}

// clearing is where a node will not tell that its pods are gone.
var clearing = patience(8 * time.Second)

// faultsAtOnce do not meet each other.
var faultsAtOnce = [][]fault{
	{
		{
			name: "its kubelet is stopped", breaks: kubeletStopped, on: [2]int{0, 1},
			red: StepStart, says: []string{"the kubelet on node-1", "lease"}, nodes: []string{"node-1"},
			after: hooks{StepSchedule: patience(leaseGap + 9*time.Second), StepStart: clearing},
		},
		{
			name: "its container runtime is stopped", breaks: runtimeStopped, on: [2]int{0, 2},
			red: StepRuntime, says: []string{"on node-2", "containerd.sock: connect: connection refused"}, nodes: []string{"node-2"},
			after: hooks{StepStart: patience(20 * time.Second), StepRuntime: clearing},
		},
		{
			name: "its container runtime hangs", breaks: runtimeHangs, on: [2]int{0, 3},
			red: StepRuntime, says: []string{"on node-3", "renews its lease and takes no pod"}, nodes: []string{"node-3"},
			after: hooks{StepSchedule: patience(leaseGap + 9*time.Second), StepStart: clearing},
		},
	},
	{
		{
			name: "pods are cut one way", breaks: podsCut, on: [2]int{0, 1}, red: StepTCP, says: []string{
				"what pods on node-0 send does not arrive on node-1",
				"what pods on node-1 send arrives on node-0, and the answers do not come back",
			}, after: hooks{StepRuntime: talkInVain},
		},
		{
			name: "kube-proxy's rules are gone", breaks: servicesForgotten, on: [2]int{2, 3},
			red: StepService, says: []string{"from node-3: ", "the cluster address 10.0.0.", "look at kube-proxy on node-3"}, nodes: []string{"node-3"},
			after: hooks{StepRuntime: talkInVain},
		},
	},
	{{
		name: "the scheduler is stopped", breaks: schedulerStopped, on: [2]int{0, 1},
		red: StepSchedule, says: []string{"no scheduler has looked at the pod"},
		after: hooks{StepAdmit: patience(10 * time.Second), StepSchedule: calm},
	}},
	{{
		name: "DNS is dead", breaks: dnsDead, on: [2]int{0, 1},
		red: StepDNS, says: []string{"from node-0: ", "from node-1: ", ".svc is not resolved by 10.0.0.10"},
		after: hooks{StepRuntime: talkInVain},
	}},
}

// TestFaults has runs meet faults, and at the end one on each two nodes that
// meets none any more. Runs that were killed are there all the while, and are
// gone at the end. A webhook that is down and an image that is absent are in
// TestRealCluster.
func TestFaults(t *testing.T) {
	t.Parallel()
	cluster := needCluster(t, real.ClusterOptions{Nodes: 4})
	began := time.Now()
	gone := killRuns(t, cluster)
	t.Logf("%d runs were killed in %.1f s", len(killings), time.Since(began).Seconds())
	client := needClient(t, cluster.APIServer.Kubeconfig)
	// All wait for most of their time, so they take the room of one test.
	var all sync.WaitGroup
	for _, faults := range faultsAtOnce {
		for i, f := range faults {
			all.Go(func() {
				t.Run(f.name, func(t *testing.T) { f.meet(t, cluster, client, in(fmt.Sprintf("fault-%d", i))) })
			})
		}
		all.Wait()
	}
	for i := range 2 {
		all.Go(func() {
			s := in(fmt.Sprintf("fault-%d", i))
			wantsGreen(t, makeRun(t.Context(), t, client, s, Options{Nodes: namesOf(cluster, 2*i, 2*i+1)}))
		})
	}
	all.Wait()
	for i := range 3 {
		nothingLeft(t, cluster, fmt.Sprintf("fault-%d", i))
	}
	must(t, <-gone)
	nothingRuns(t, cluster)
}

func namesOf(cluster *real.Cluster, nodes ...int) (names []string) {
	for _, i := range nodes {
		names = append(names, cluster.Nodes[i].Name)
	}
	return names
}

// meet has a run meet the fault.
func (f *fault) meet(t *testing.T, cluster *real.Cluster, client *Client, s Settings) {
	heal, err := f.breaks(t.Context(), cluster, cluster.Nodes[f.on[1]])
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		began := time.Now()
		must(t, heal(ctx))
		t.Logf("healed in %.1f s", time.Since(began).Seconds())
	})
	f.judge(t, makeRunWith(t.Context(), t, client, s, Options{Nodes: namesOf(cluster, f.on[:]...)}, f.after))
}

// judge holds the report of a run that met the fault against it.
func (f *fault) judge(t *testing.T, r Report) {
	t.Helper()
	red := slices.DeleteFunc(slices.Clone(r.Steps), func(s Step) bool { return s.Status != health.Critical })
	if len(red) != 1 || red[0].Name != f.red {
		t.Fatalf("red are %v, not %s", red, f.red)
	}
	took := 0.0
	for _, step := range r.Steps[:slices.IndexFunc(r.Steps, func(s Step) bool { return s.Name == f.red })+1] {
		took += step.Seconds
	}
	if took > 60 {
		t.Errorf("it took %.1f s to tell", took)
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
