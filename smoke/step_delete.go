package smoke

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/grapevine-mesh/grapevine/health"
)

// clear removes all that the run has made, or may have made: an answer may
// have been lost. It waits until the nodes have said that the pods are gone.
func (r *run) clear(ctx context.Context) {
	began := time.Now()
	v := r.remove(ctx)
	if gone, stuck := r.awaitGone(ctx); !gone && v.status == health.OK {
		v = stuck
	}
	err := r.countLeftovers(ctx)
	switch {
	case v.status != health.OK:
	case apierrors.IsForbidden(err):
		v = r.refusal(ctx, "list what was made", err)
	case len(r.report.Leftovers) > 0:
		v = verdictf(health.Warning, "still there: %s", some(r.report.Leftovers))
	}
	r.record(StepDelete, time.Since(began), v)
}

// remove asks for the removal of each object by its name. What this user may
// not remove may go all the same: the cluster removes it after its anchor.
func (r *run) remove(ctx context.Context) verdict {
	var failed []error
	var refused verdict
	for _, o := range r.mine() {
		err := r.c.delete(o.on, r.s.Namespace, o.name, metav1.DeleteOptions{PropagationPolicy: pointer(metav1.DeletePropagationBackground)}).Do(ctx).Error()
		if err == nil || apierrors.IsNotFound(err) {
			continue
		}
		switch {
		case !answered(err) && ctx.Err() != nil:
			return r.refusal(ctx, "delete "+o.on.name, err)
		case !apierrors.IsForbidden(err):
			failed = append(failed, err)
		case refused.passed():
			refused = r.refusal(ctx, "delete "+o.on.name, err)
		}
	}
	if !refused.passed() {
		return refused
	}
	if err := errors.Join(failed...); err != nil {
		return r.refusal(ctx, "delete what was made", failed[0])
	}
	return verdict{}
}

// mine are the objects that this run makes.
func (r *run) mine() []left {
	var all []left
	for _, role := range []string{roleClient, roleServer} {
		for _, name := range r.podNames(role) {
			all = append(all, left{on: pods, name: name})
		}
	}
	if r.s.Steps.Policy {
		all = append(all, left{on: pods, name: r.name(roleProbe)})
	}
	if r.s.Steps.Volume {
		all = append(all, left{on: pods, name: r.name(roleWriter)})
	}
	for _, on := range r.s.kinds() {
		if on != pods {
			all = append(all, left{on: on, name: r.name("")})
		}
	}
	return all
}

// awaitGone waits until no pod of the run is there: the API server lets go of
// one when its node has said that nothing of it runs any more.
func (r *run) awaitGone(ctx context.Context) (bool, verdict) {
	if r.follower == nil { // the run ended early
		r.follower = follow(r.c, r.s.Namespace, runLabel+"="+r.id)
	}
	if r.follower.until(ctx, func(known map[string]*corev1.Pod) bool { return len(known) == 0 }) {
		return true, verdict{}
	}
	known, _, err := r.follower.state()
	if err != nil {
		return false, verdictf(health.Unknown, "the API server %s does not tell whether the pods are gone: %s", r.report.Server, clip(err.Error(), 200))
	}
	var stuck []verdict
	for _, p := range sorted(known) {
		node := wantedNode(p)
		stuck = append(stuck, verdictf(health.Critical, "%s has not said that the pod %s/%s is gone", node, p.Namespace, p.Name).on(node))
	}
	return false, join(stuck)
}

// countLeftovers looks for what is still there of this run, and of earlier
// ones that are over.
func (r *run) countLeftovers(ctx context.Context) error {
	ctx, cancel := aside(ctx)
	defer cancel()
	// What the removal of the anchor takes along needs a moment.
	for {
		all, err := r.inventory(ctx)
		if err != nil {
			return err
		}
		r.report.Leftovers = nil
		waits := false
		for _, l := range all {
			if l.run == r.id || r.started.Sub(l.created) >= r.s.overdue() {
				r.report.Leftovers = append(r.report.Leftovers, l.String())
				waits = waits || l.run == r.id && l.on != pods
			}
		}
		if !waits {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// some are the first of many.
func some(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(slices.Concat(names[:most], []string{"and more"}), ", ")
	}
	return strings.Join(names, ", ")
}
