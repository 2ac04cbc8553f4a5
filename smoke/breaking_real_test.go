package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// undo ends a fault, and returns when nothing of it is left.
type undo func(context.Context) error

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

func runtimeHangs(_ context.Context, c *real.Cluster) (undo, error) {
	n := c.Nodes[1]
	if err := n.Containerd.Pause(); err != nil {
		return nil, err
	}
	// A kubelet asks it for all pods each 2 s, and does nothing else meanwhile.
	time.Sleep(5 * time.Second)
	return func(ctx context.Context) error {
		return errors.Join(n.Containerd.Resume(), nodesReady(ctx, c, time.Now()))
	}, nil
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
