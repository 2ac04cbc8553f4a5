package smoke

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/grapevine-mesh/grapevine/health"
)

// judgeTalk reads what the clients have seen.
func (r *run) judgeTalk() {
	known, _, _ := r.follower.state()
	var all []Findings
	for i, name := range r.podNames(roleClient) {
		f, err := findingsOf(known[name])
		if err != nil {
			r.record(StepRuntime, 0, verdictf(health.Critical, "the client on %s has left no result: %v", r.report.Nodes[i], err).on(r.report.Nodes[i]))
			return
		}
		f.Node = r.report.Nodes[i]
		all = append(all, f)
	}
	for _, step := range []string{StepTCP, StepUDP, StepService, StepDNS, StepAPI} {
		var took float64
		var verdicts []verdict
		for _, f := range all {
			i := slices.IndexFunc(f.Findings, func(found Finding) bool { return found.Step == step })
			if i < 0 {
				verdicts = append(verdicts, verdictf(health.Unknown, "the client on %s has not tried it: its image %s may be of an older version", f.Node, r.s.Image).on(f.Node))
				continue
			}
			took = max(took, f.Findings[i].Seconds)
			verdicts = append(verdicts, r.judgeFinding(step, f.Node, f.Findings[i], all))
		}
		r.record(step, time.Duration(took*float64(time.Second)), join(verdicts))
	}
}

// findingsOf reads the termination message of a client.
func findingsOf(p *corev1.Pod) (f Findings, err error) {
	if p == nil || container(p) == nil || container(p).State.Terminated == nil {
		return f, fmt.Errorf("its pod is gone")
	}
	text := container(p).State.Terminated.Message
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return f, fmt.Errorf("its termination message is %q", clip(text, 100))
	}
	return f, nil
}

// judgeFinding judges what one client has seen of a step.
func (r *run) judgeFinding(step, node string, found Finding, all []Findings) verdict {
	status := health.Critical
	switch {
	case found.Fault == "":
		return verdict{}
	case found.Partly:
		status = health.Warning
	}
	fault := clip(found.Fault, 400)
	if step == StepTCP || step == StepUDP {
		v := verdictf(status, "from %s to %s: %s", node, r.otherThan(node), fault).on(node, r.otherThan(node))
		if way := r.lostWay(step, node, all); way != "" && !found.Partly {
			v.reason += " (" + way + ")"
		}
		return v
	}
	if step == StepService && r.failedBelow(step) == "" {
		fault += "; look at kube-proxy on " + node + ", or at what stands in for it"
	}
	return verdictf(status, "from %s: %s", node, fault).on(node)
}

// otherThan is the other node of the run, or the same when there is one only.
func (r *run) otherThan(node string) string {
	for _, other := range r.report.Nodes {
		if other != node {
			return other
		}
	}
	return node
}

// lostWay tells requests that do not arrive from answers that do not: the
// client on the other node has asked the server there what it has heard, which
// is by UDP.
func (r *run) lostWay(step, node string, all []Findings) string {
	other := r.otherThan(node)
	of := func(node string) int { return slices.IndexFunc(all, func(f Findings) bool { return f.Node == node }) }
	own, others := of(node), of(other)
	switch {
	case own < 0 || others < 0 || other == node:
		return ""
	case step == StepTCP && all[own].of(StepUDP).Fault == "":
		return "UDP passes"
	}
	for _, found := range all[others].Findings {
		switch {
		case found.Heard == nil:
		case !*found.Heard:
			return "what pods on " + node + " send does not arrive on " + other
		default:
			return "what pods on " + node + " send arrives on " + other + ", and the answers do not come back"
		}
	}
	return ""
}
