package smoke

import (
	"context"
	"fmt"
	"net/netip"

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
	task := Task{Steps: []string{StepPolicy}, Seconds: r.talkPatience().Seconds(), Guarded: Peer{r.report.Nodes[0], addresses(known[names[0]])}}
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

// keptOut wants the guarded server to be silent, and the other one not.
func (t *Task) keptOut(ctx context.Context) error {
	for _, addr := range t.Guarded.Addrs {
		short, cancel := context.WithTimeout(ctx, attemptPatience/3)
		_, _, err := t.prober().Get(short, netip.AddrPortFrom(addr, echoPort))
		cancel()
		if err == nil {
			return fmt.Errorf("the pod at %v on %s answers, though a NetworkPolicy lets nobody reach it: the network does not enforce policies, or is late to learn of new ones", addr, t.Guarded.Node)
		}
	}
	for _, addr := range t.Peer.Addrs {
		at := netip.AddrPortFrom(addr, echoPort)
		if _, _, err := t.prober().Get(ctx, at); err != nil {
			return fmt.Errorf("the pod at %v on %s does not answer, though no NetworkPolicy guards it: %s", at, t.Peer.Node, why(err))
		}
	}
	return nil
}
