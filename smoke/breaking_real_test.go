package smoke

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// undo ends a fault, and returns when nothing of it is left.
type undo func(context.Context) error

func schedulerStopped(ctx context.Context, c *real.Cluster, _ *real.Node) (undo, error) {
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

func kubeletStopped(_ context.Context, c *real.Cluster, n *real.Node) (undo, error) {
	return func(ctx context.Context) error {
		began := time.Now()
		return errors.Join(n.Kubelet.Start(), nodeReady(ctx, c, n, began))
	}, n.Kubelet.Kill()
}

func runtimeStopped(_ context.Context, c *real.Cluster, n *real.Node) (undo, error) {
	return func(ctx context.Context) error {
		return errors.Join(n.Containerd.Start(ctx), nodeReady(ctx, c, n, time.Now()))
	}, n.Containerd.Kill()
}

func runtimeHangs(_ context.Context, c *real.Cluster, n *real.Node) (undo, error) {
	if err := n.Containerd.Pause(); err != nil {
		return nil, err
	}
	// A kubelet asks it for all pods each 2 s, and does nothing else meanwhile.
	time.Sleep(5 * time.Second)
	return func(ctx context.Context) error {
		return errors.Join(n.Containerd.Resume(), nodeReady(ctx, c, n, time.Now()))
	}, nil
}

// podsCut loses what comes from the node before.
func podsCut(ctx context.Context, c *real.Cluster, n *real.Node) (undo, error) {
	return c.CutPods(ctx, c.Nodes[slices.Index(c.Nodes, n)-1], n)
}

func servicesForgotten(ctx context.Context, _ *real.Cluster, n *real.Node) (undo, error) {
	return n.ForgetServices(ctx)
}

func dnsDead(_ context.Context, c *real.Cluster, _ *real.Node) (undo, error) {
	return func(context.Context) error { return c.DNS.Start() }, c.DNS.Stop()
}

// nodeReady waits until the kubelet has said, after since, that its node is
// Ready, and no taint is left.
func nodeReady(ctx context.Context, c *real.Cluster, of *real.Node, since time.Time) error {
	return eventually(ctx, func() error {
		var n corev1.Node
		if err := c.APIServer.Get(ctx, "/api/v1/nodes/"+of.Name, &n); err != nil {
			return err
		}
		if ready := condition(&n, corev1.NodeReady); ready == nil || ready.Status != corev1.ConditionTrue || !ready.LastHeartbeatTime.After(since) {
			return fmt.Errorf("%s is not ready: %v", of.Name, ready)
		}
		if len(n.Spec.Taints) > 0 {
			return fmt.Errorf("%s is tainted: %v", of.Name, n.Spec.Taints)
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
