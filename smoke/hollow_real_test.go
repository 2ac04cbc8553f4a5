package smoke

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

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
	plane := real.NeedControlPlane(t, real.ControlPlaneOptions{LeaseDuration: ample})
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
			r, nodes, err := scheduled(ctx, plane, client, turn)
			if err != nil {
				return fmt.Errorf("turn %d: %w", turn, err)
			}
			if want := []Skipped{{Node: cordoned, Reason: "cordoned"}}; !slices.Equal(r.Skipped, want) {
				return fmt.Errorf("turn %d skipped %v", turn, r.Skipped)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, name := range nodes {
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

// scheduled ends a run when its pods are bound, and returns to what nodes: what
// follows needs nodes that run them.
func scheduled(ctx context.Context, plane *real.ControlPlane, c *Client, turn uint64) (r Report, nodes []string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var pods corev1.PodList
	first := map[string]Step{} // verdicts, some of which the end makes worse
	r = Run(ctx, c, in(Default().Namespace), Options{Turn: turn, Told: func(s Step) {
		if _, told := first[s.Name]; told {
			return
		}
		first[s.Name] = s
		if s.Name == StepSchedule {
			err = plane.APIServer.Get(ctx, "/api/v1/namespaces/"+Default().Namespace+"/pods", &pods)
			cancel()
		}
	}})
	for _, name := range []string{StepAdmit, StepSchedule, StepDelete} {
		if step, told := first[name]; !told || step.Status != health.OK {
			return r, nil, fmt.Errorf("%s is %s: %s", name, step.Status, step.Reason)
		}
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Labels[runLabel] == r.Run {
			nodes = append(nodes, p.Spec.NodeName)
		}
	}
	if len(nodes) != 2 || nodes[0] == nodes[1] {
		err = errors.Join(err, fmt.Errorf("the pods are on %q", nodes))
	}
	return r, nodes, err
}
