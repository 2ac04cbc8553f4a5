package smoke

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/grapevine-mesh/grapevine/health"
)

// leaseGap is how long after a first look a living kubelet has renewed its
// lease for sure: it does so each 10 s, and has some time for it.
const leaseGap = 11 * time.Second

func bound(p *corev1.Pod) bool { return p.Spec.NodeName != "" }

// taken tells whether the kubelet has said anything of a pod.
func taken(p *corev1.Pod) bool {
	return p.Status.StartTime != nil || len(p.Status.ContainerStatuses) > 0
}

func running(p *corev1.Pod) bool {
	c := container(p)
	return c != nil && c.State.Running != nil && len(p.Status.PodIPs) > 0
}

func ended(p *corev1.Pod) bool {
	c := container(p)
	return c != nil && c.State.Terminated != nil && c.State.Terminated.ExitCode == 0
}

// container is the state of ours: others may have been put beside it.
func container(p *corev1.Pod) *corev1.ContainerStatus {
	for i := range p.Status.ContainerStatuses {
		if p.Status.ContainerStatuses[i].Name == "smoke" {
			return &p.Status.ContainerStatuses[i]
		}
	}
	return nil
}

// bringUp follows pods of these names until they are as wanted: running or
// ended. It tells whether all are.
func (r *run) bringUp(ctx context.Context, names []string, wanted func(*corev1.Pod) bool) bool {
	return r.step(ctx, StepSchedule, func(ctx context.Context) verdict {
		return r.await(ctx, names, bound, r.whyUnbound)
	}) && r.step(ctx, StepStart, func(ctx context.Context) verdict {
		return r.awaitTaken(ctx, names)
	}) && r.step(ctx, StepRuntime, func(ctx context.Context) verdict {
		return r.await(ctx, names, wanted, r.whyNotRunning)
	})
}

// await waits until all pods are as wanted, one of them never will be, or ctx
// ends. It asks why for each that is not, and had its time for it.
func (r *run) await(ctx context.Context, names []string, wanted func(*corev1.Pod) bool, why func(context.Context, *corev1.Pod) verdict) verdict {
	var behind []verdict
	var late, lost []*corev1.Pod // lost is what never will be
	removed := false
	settled := func(known map[string]*corev1.Pod) bool {
		behind, late, lost, removed = nil, nil, nil, false
		for _, name := range names {
			switch p := known[name]; {
			case p == nil:
				behind = append(behind, verdictf(health.Unknown, "the pod %s/%s is gone, or not seen yet", r.s.Namespace, name))
			case p.DeletionTimestamp != nil:
				behind = append(behind, verdictf(health.Unknown, "somebody removes the pod %s/%s", r.s.Namespace, name))
				removed = true
			case wanted(p):
			case beyondHope(p):
				lost = append(lost, p)
			default:
				late = append(late, p)
			}
		}
		return len(late)+len(behind) == 0
	}
	r.follower.until(ctx, func(known map[string]*corev1.Pod) bool { return settled(known) || removed || len(lost) > 0 })
	if len(lost) > 0 && ctx.Err() == nil {
		// What has befallen one is often about to befall the other.
		soon, cancel := context.WithTimeout(ctx, time.Second)
		r.follower.until(soon, settled)
		cancel()
		if ctx.Err() == nil {
			late = nil
		}
	}
	switch known, _, err := r.follower.state(); {
	case apierrors.IsForbidden(err):
		return r.refusal(ctx, "list pods", err)
	case err != nil && (known == nil || len(late)+len(lost)+len(behind) > 0):
		return verdictf(health.Unknown, "the API server %s tells nothing of the pods: %s", r.report.Server, clip(err.Error(), 200))
	case known == nil:
		return verdictf(health.Unknown, "the API server %s has told nothing of the pods in time", r.report.Server)
	}
	for _, p := range slices.Concat(lost, late) {
		behind = append(behind, why(ctx, p))
	}
	return join(behind)
}

// beyondHope tells whether a pod cannot get any further.
func beyondHope(p *corev1.Pod) bool {
	if p.Status.Phase == corev1.PodFailed {
		return true
	}
	c := container(p)
	return c != nil && (c.State.Terminated != nil || c.State.Waiting != nil && lacksImage(c.State.Waiting.Reason))
}

// lacksImage tells whether a kubelet says in its own words that there is no
// way to get the image.
func lacksImage(said string) bool {
	return slices.ContainsFunc([]string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}, func(word string) bool {
		return strings.Contains(said, word)
	})
}

// whyUnbound says why a pod has no node.
func (r *run) whyUnbound(_ context.Context, p *corev1.Pod) verdict {
	node := wantedNode(p)
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			// It does its work: the node is full.
			return verdictf(health.Warning, "the scheduler finds no room on %s: %s", node, clip(c.Message, 300)).on(node)
		}
	}
	return verdictf(health.Critical, "no scheduler has looked at the pod %s/%s, which is for %s", p.Namespace, p.Name, node)
}

// wantedNode is the only node that a pod of ours can be bound to.
func wantedNode(p *corev1.Pod) string {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName
	}
	return p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchFields[0].Values[0]
}

// awaitTaken waits until the kubelets have taken the pods. When that does not
// come soon it notes what their leases say, to see who of them lives.
func (r *run) awaitTaken(ctx context.Context, names []string) verdict {
	allTaken := func(known map[string]*corev1.Pod) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return known[name] != nil && !taken(known[name]) })
	}
	soon, cancel := context.WithTimeout(ctx, 2*time.Second)
	r.follower.until(soon, allTaken)
	cancel()
	known, _, _ := r.follower.state()
	before, looked := map[string]time.Time{}, time.Now()
	for _, name := range names {
		if p := known[name]; p != nil && !taken(p) {
			before[p.Spec.NodeName] = r.renewed(ctx, p.Spec.NodeName)
		}
	}
	return r.await(ctx, names, taken, func(ctx context.Context, p *corev1.Pod) verdict {
		return r.whyNotTaken(ctx, p, before[p.Spec.NodeName], looked)
	})
}

// renewed is when a kubelet has last renewed its lease, by its own clock; zero
// when that is not known.
func (r *run) renewed(ctx context.Context, node string) time.Time {
	ctx, cancel := aside(ctx)
	defer cancel()
	lease, err := r.c.lease(ctx, node)
	if err != nil || lease.Spec.RenewTime == nil {
		return time.Time{}
	}
	return lease.Spec.RenewTime.Time
}

// whyNotTaken tells a kubelet that is dead from one that waits for its
// container runtime: that is the fault of the runtime, and of the step runtime.
func (r *run) whyNotTaken(ctx context.Context, p *corev1.Pod, before, looked time.Time) verdict {
	node := p.Spec.NodeName
	after := r.renewed(ctx, node)
	if !before.IsZero() && after.After(before) {
		kubelet := "renews its lease and takes no pod, as when its runtime hangs"
		if complaint := r.complaint(ctx, node); complaint != "" { // which takes it minutes
			kubelet = "says " + complaint
		}
		r.record(StepRuntime, 0, verdictf(health.Critical, "the container runtime on %s does not do its work: the kubelet there %s", node, kubelet).on(node))
		return verdictf(health.Unknown, "the kubelet on %s has not taken the pod %s/%s, though it is alive: that is for its container runtime to answer for", node, p.Namespace, p.Name).on(node)
	}
	reason := fmt.Sprintf("the kubelet on %s has not taken the pod %s/%s", node, p.Namespace, p.Name)
	if watched := time.Since(looked); !before.IsZero() && watched >= leaseGap {
		reason += fmt.Sprintf(", nor renewed its lease for %d s: it is dead, hung or cut off", int(watched.Seconds()))
	}
	return verdictf(health.Critical, "%s", reason).on(node)
}

// complaint is what a kubelet says against its own node; empty: nothing.
func (r *run) complaint(ctx context.Context, node string) string {
	ctx, cancel := aside(ctx)
	defer cancel()
	var n corev1.Node
	if err := r.c.get(nodes, "", node).Do(ctx).Into(&n); err != nil {
		return ""
	}
	if ready := condition(&n, corev1.NodeReady); ready != nil && ready.Status == corev1.ConditionFalse {
		return clip(ready.Message, 200)
	}
	return ""
}

// loadIt says what to do about an image that is not on a node.
const loadIt = "load it there: grapevine smoke-image | ctr -n k8s.io images import -"

// whyNotRunning says what the container runtime has not done.
func (r *run) whyNotRunning(ctx context.Context, p *corev1.Pod) verdict {
	node, c := p.Spec.NodeName, container(p)
	on := func(format string, args ...any) verdict {
		return verdict{status: health.Critical, reason: fmt.Sprintf(format, args...), local: true}.on(node)
	}
	switch {
	case c == nil && p.Status.Phase == corev1.PodFailed:
		return on("the pod was refused: %s: %s", p.Status.Reason, clip(p.Status.Message, 300))
	case c != nil && c.State.Waiting != nil && lacksImage(c.State.Waiting.Reason):
		return on("there is no image %s, and it cannot be pulled (%s: %s); %s", r.s.Image, c.State.Waiting.Reason, clip(c.State.Waiting.Message, 250), loadIt)
	case c != nil && c.State.Terminated != nil:
		end := c.State.Terminated
		return on("the container of %s ended at once with code %d (%s): %s", p.Name, end.ExitCode, end.Reason, clip(end.Message, 300))
	case c != nil && c.State.Running != nil:
		return on("the container of %s runs, and does not end or has no address", p.Name)
	}
	ctx, cancel := aside(ctx)
	defer cancel()
	said, _ := r.c.said(ctx, p) // whoever may not read events learns less
	switch {
	case lacksImage(said.reason + " " + said.last):
		return on("there is no image %s, and it cannot be pulled (%s); %s", r.s.Image, said.last, loadIt)
	case said.pulling:
		return on("there is no image %s, and it has not been pulled in %v; %s", r.s.Image, r.s.Patience, loadIt)
	case said.last != "":
		return on("the container of %s does not start: %s", p.Name, said.last)
	}
	waiting := ""
	if c != nil && c.State.Waiting != nil && c.State.Waiting.Reason != "ContainerCreating" {
		waiting = ": " + c.State.Waiting.Reason + " " + clip(c.State.Waiting.Message, 300)
	}
	if complaint := r.complaint(ctx, node); complaint != "" {
		waiting += ": the kubelet says " + complaint
	}
	return on("the container of %s does not start, and the runtime does not say why%s", p.Name, waiting)
}
