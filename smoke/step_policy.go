package smoke

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/grapevine-mesh/grapevine/health"
)

// guardedLabel is that of the server which a policy guards.
const guardedLabel = "grapevine.io/smoke-guarded"

// policyObject lets nobody reach the first server.
func (r *run) policyObject() *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: r.meta("", roleServer), Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{runLabel: r.id, guardedLabel: "true"}},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
	}}
}

// policy guards the first server, which has just been reached, and wants it to
// be out of reach for a pod beside the last one.
func (r *run) policy(ctx context.Context) verdict {
	if v := r.make(ctx, policies, r.policyObject(), nil); !v.passed() {
		return v
	}
	known, _, _ := r.follower.state()
	names, last := r.podNames(roleServer), len(r.report.Nodes)-1
	task := Task{Steps: []string{StepPolicy}, Seconds: r.talk.Seconds(), Guarded: Peer{r.report.Nodes[0], addresses(known[names[0]])}}
	if last > 0 {
		task.Peer = Peer{r.report.Nodes[last], addresses(known[names[last]])}
	}
	f, v := r.runPod(ctx, r.podObject(roleProbe, roleProbe, r.report.Nodes[last], task))
	if v.status != health.OK || len(f.Findings) == 0 || f.Findings[0].Fault == "" {
		return v
	}
	return verdictf(health.Critical, "from %s: %s", r.report.Nodes[last], clip(f.Findings[0].Fault, 400)).on(r.report.Nodes[0])
}

// runPod makes one pod more and returns what it has found.
func (r *run) runPod(ctx context.Context, pod *corev1.Pod) (Findings, verdict) {
	if v := r.make(ctx, pods, pod, nil); !v.passed() {
		return Findings{}, v
	}
	if v := r.await(ctx, []string{pod.Name}, ended, r.whyBehind); v.status != health.OK {
		return Findings{}, v
	}
	known, _, _ := r.follower.state()
	f, err := findingsOf(known[pod.Name])
	if err != nil {
		return f, verdictf(health.Critical, "the pod %s has left no result: %v", pod.Name, err)
	}
	return f, verdict{}
}

// whyBehind says what holds a pod, on whichever step of its way.
func (r *run) whyBehind(ctx context.Context, p *corev1.Pod) verdict {
	switch {
	case !bound(p):
		return r.whyUnbound(ctx, p)
	case !taken(p):
		return verdictf(health.Critical, "the kubelet on %s has not taken the pod %s", p.Spec.NodeName, p.Name).on(p.Spec.NodeName)
	}
	return r.whyNotRunning(ctx, p)
}

// keptOut makes attempts that want the guarded server to be silent, and the
// other one not. All addresses are asked at once and have the whole time: where
// a node has none left, silence for a moment says nothing.
func (t *Task) keptOut() func(context.Context) error {
	var before error // what an earlier attempt has found of the guarded server
	return func(ctx context.Context) error {
		errs := t.getEach(ctx, slices.Concat(t.Guarded.Addrs, t.Peer.Addrs))
		guarded, open := errs[:len(t.Guarded.Addrs)], errs[len(t.Guarded.Addrs):]
		for i, err := range guarded {
			if err == nil {
				before = fmt.Errorf("the pod at %v on %s answers, though a NetworkPolicy lets nobody reach it: the network does not enforce policies, or is late to learn of new ones", t.Guarded.Addrs[i], t.Guarded.Node)
				return before
			}
		}
		for i, err := range open {
			if err == nil {
				continue
			}
			err = fmt.Errorf("the pod at %v on %s does not answer, though no NetworkPolicy guards it: %s", netip.AddrPortFrom(t.Peer.Addrs[i], echoPort), t.Peer.Node, why(err))
			if before != nil {
				err = fmt.Errorf("%w; before that, %w", err, before)
			}
			return err
		}
		return nil
	}
}

// getEach asks the servers at all addresses at once.
func (t *Task) getEach(ctx context.Context, addrs []netip.Addr) []error {
	errs := make([]error, len(addrs))
	var asking sync.WaitGroup
	for i, addr := range addrs {
		asking.Go(func() { _, _, errs[i] = t.prober().Get(ctx, netip.AddrPortFrom(addr, echoPort)) })
	}
	asking.Wait()
	return errs
}
