package smoke

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestTurnsOfHollowNodes has pods scheduled to fifty nodes, which only claim to
// run them: half as many turns as there are nodes put a pod on each that can be
// used, and each run tells of the one that cannot.
func TestTurnsOfHollowNodes(t *testing.T) {
	t.Parallel()
	const count, atOnce = 50, 5
	began := time.Now()
	plane := real.NeedControlPlane(t, real.ControlPlaneOptions{})
	nodes := real.NeedHollowNodes(t, real.HollowNodesOptions{ControlPlane: plane, Count: count})
	t.Logf("%d nodes took %.1f s to start", count, time.Since(began).Seconds())
	client := needClient(t, plane.APIServer.Kubeconfig)
	cordoned := nodes[7].Name
	_, err := plane.Kubectl(t.Context(), "", "cordon", cordoned)
	must(t, err)

	began = time.Now()
	var mu sync.Mutex
	runs := map[string]int{}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(atOnce)
	for turn := range uint64(count / 2) {
		group.Go(func() error {
			r, err := scheduled(ctx, client, turn)
			if err != nil {
				return fmt.Errorf("turn %d: %w", turn, err)
			}
			if want := []Skipped{{Node: cordoned, Reason: "cordoned"}}; !slices.Equal(r.Skipped, want) {
				return fmt.Errorf("turn %d skipped %v", turn, r.Skipped)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, name := range r.Nodes {
				runs[name]++
			}
			return nil
		})
	}
	must(t, group.Wait())
	t.Logf("%d runs took %.1f s", count/2, time.Since(began).Seconds())
	for _, n := range nodes {
		if covered := runs[n.Name] > 0; covered == (n.Name == cordoned) {
			t.Errorf("%s had %d runs", n.Name, runs[n.Name])
		}
	}
}

// scheduled ends a run when two nodes have got pods: what follows needs nodes
// that run them.
func scheduled(ctx context.Context, c *Client, turn uint64) (Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := Run(ctx, c, Default(), Options{Turn: turn, Told: func(s Step) {
		if s.Name == StepSchedule {
			cancel()
		}
	}})
	for _, name := range []string{StepAdmit, StepSchedule, StepDelete} {
		if step, _ := r.Step(name); step.Status != health.OK {
			return r, fmt.Errorf("%s is %s: %s", name, step.Status, step.Reason)
		}
	}
	if len(r.Nodes) != 2 || r.Nodes[0] == r.Nodes[1] {
		return r, fmt.Errorf("the nodes are %v", r.Nodes)
	}
	return r, nil
}
