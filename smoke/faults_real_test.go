package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// undo ends a fault.
type undo func(context.Context) error

// faults are what operators meet. Each turns one step red and no other, and
// the reason of that step holds all of says. A webhook that is down and an
// image that is absent are in TestBadInputOnARealCluster.
var faults = []struct {
	name   string
	breaks func(context.Context, *real.Cluster) (undo, error)
	red    string
	says   []string
	nodes  []string // that the step points at; empty: both may be to blame, or none
}{
	{
		name: "the kubelet of a node is stopped", breaks: kubeletStopped,
		red: StepStart, says: []string{"the kubelet on node-1", "lease"}, nodes: []string{"node-1"},
	},
	{
		name: "the container runtime of a node is stopped", breaks: runtimeStopped,
		red: StepRuntime, says: []string{"on node-1", "containerd.sock: connect: connection refused"}, nodes: []string{"node-1"},
	},
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
		red: StepService, says: []string{"from node-1: ", "the cluster address 10.0.0."}, nodes: []string{"node-1"},
	},
	{
		name: "DNS is dead", breaks: dnsDead,
		red: StepDNS, says: []string{"from node-0: ", "from node-1: ", "grapevine-smoke.svc is not resolved by 10.0.0.10"},
	},
}

// TestFaults meets one fault after the other. Runs that were killed are there
// all the while, and are gone at the end.
func TestFaults(t *testing.T) {
	t.Parallel()
	cluster := needCluster(t, real.ClusterOptions{Nodes: 2})
	client := needClient(t, cluster.APIServer.Kubeconfig)
	began := time.Now()
	gone := killRuns(t, cluster, 2*time.Minute)
	t.Logf("%d runs were killed in %.1f s", len(killings), time.Since(began).Seconds())
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
			r := makeRun(t, t.Context(), client, Default(), Options{})
			if r.Seconds > 60 {
				t.Errorf("it took %.1f s to tell", r.Seconds)
			}
			red := slices.DeleteFunc(r.Steps, func(s Step) bool { return s.Status != health.Critical })
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
		})
	}
	wantsGreen(t, makeRun(t, t.Context(), client, Default(), Options{}))
	nothingLeft(t, cluster, Default().Namespace)
	must(t, <-gone)
	nothingRuns(t, cluster)
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

func schedulerStopped(ctx context.Context, c *real.Cluster) (undo, error) {
	s := c.Schedulers[0]
	before, err := c.APIServer.Lease(ctx, "kube-system", "kube-scheduler")
	return func(ctx context.Context) error {
		// The next one would wait until the lease of the last has run out.
		_, err := c.Kubectl(ctx, "", "--namespace=kube-system", "delete", "lease", "kube-scheduler")
		return errors.Join(err, s.Start(ctx), eventually(ctx, func() error {
			lease, err := c.APIServer.Lease(ctx, "kube-system", "kube-scheduler")
			if err == nil && (lease.Holder == before.Holder || lease.Holder == "") {
				err = errors.New("the scheduler does not lead")
			}
			return err
		}))
	}, errors.Join(err, s.Kill())
}

func kubeletStopped(_ context.Context, c *real.Cluster) (undo, error) {
	n := c.Nodes[1]
	return func(ctx context.Context) error {
		began := time.Now()
		return errors.Join(n.Kubelet.Start(), nodesReady(ctx, c, began))
	}, n.Kubelet.Kill()
}

func runtimeStopped(_ context.Context, c *real.Cluster) (undo, error) {
	n := c.Nodes[1]
	return func(ctx context.Context) error {
		return errors.Join(n.Containerd.Start(ctx), nodesReady(ctx, c, time.Now()))
	}, n.Containerd.Kill()
}

func podsCut(ctx context.Context, c *real.Cluster) (undo, error) {
	return c.CutPods(ctx, c.Nodes[0], c.Nodes[1])
}

func servicesForgotten(ctx context.Context, c *real.Cluster) (undo, error) {
	return c.Nodes[1].ForgetServices(ctx)
}

func dnsDead(_ context.Context, c *real.Cluster) (undo, error) {
	return func(context.Context) error { return c.DNS.Start() }, c.DNS.Stop()
}

// nodesReady waits until each kubelet has said, after since, that its node is
// Ready, and no taint is left.
func nodesReady(ctx context.Context, c *real.Cluster, since time.Time) error {
	return eventually(ctx, func() error {
		var nodes struct {
			Items []struct {
				Metadata struct{ Name string }
				Spec     struct{ Taints []json.RawMessage }
				Status   struct {
					Conditions []struct {
						Type, Status, Message string
						LastHeartbeatTime     time.Time
					}
				}
			}
		}
		if err := c.APIServer.Get(ctx, "/api/v1/nodes", &nodes); err != nil {
			return err
		}
		for _, n := range nodes.Items {
			for _, c := range n.Status.Conditions {
				if c.Type == "Ready" && (c.Status != "True" || !c.LastHeartbeatTime.After(since)) {
					return fmt.Errorf("%s is not ready: %s", n.Metadata.Name, c.Message)
				}
			}
			if len(n.Spec.Taints) > 0 {
				return fmt.Errorf("%s is tainted: %s", n.Metadata.Name, n.Spec.Taints)
			}
		}
		return nil
	})
}

// eventually asks until there is no error, or ctx ends.
func eventually(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
