package smoke

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// verdict is what came of a step. Its zero value says that all is well.
type verdict struct {
	status health.Status
	reason string
	nodes  []string
}

func verdictf(status health.Status, format string, args ...any) verdict {
	return verdict{status: status, reason: fmt.Sprintf(format, args...)}
}

// on names the nodes to look at.
func (v verdict) on(nodes ...string) verdict {
	v.nodes = nodes
	return v
}

// passed tells whether the next step can be taken.
func (v verdict) passed() bool { return v.status == health.OK || v.status == health.Warning }

// join makes one verdict of several: the worst, with the reasons of all that
// are not well.
func join(all []verdict) verdict {
	var joined verdict
	var reasons []string
	for _, v := range all {
		if v.status.WorseThan(joined.status) {
			joined.status = v.status
		}
		if v.status == health.OK {
			continue
		}
		if !slices.Contains(reasons, v.reason) {
			reasons = append(reasons, v.reason)
		}
		for _, node := range v.nodes {
			if !slices.Contains(joined.nodes, node) {
				joined.nodes = append(joined.nodes, node)
			}
		}
	}
	joined.reason = strings.Join(reasons, "; ")
	return joined
}

// hangsOn are the steps that cannot go well when another has failed: they are
// not blamed then.
var hangsOn = map[string][]string{
	StepUDP:     {StepTCP},
	StepService: {StepTCP},
	StepDNS:     {StepTCP, StepUDP, StepService},
	StepAPI:     {StepService},
	StepPolicy:  {StepTCP},
	StepDelete:  {StepStart, StepRun},
}

// step takes a step, with the patience there is for one, and tells whether the
// next one can be taken.
func (r *run) step(ctx context.Context, name string, take func(context.Context) verdict) bool {
	patient, cancel := context.WithTimeout(ctx, r.s.Patience)
	defer cancel()
	began := time.Now()
	v := take(patient)
	took := time.Since(began)
	switch {
	case v.status == health.OK:
	case r.outer.Err() != nil && errors.Is(context.Cause(r.outer), context.Canceled):
		v = verdictf(health.Unknown, "interrupted")
	case ctx.Err() != nil && took < r.s.Patience/2:
		v = verdictf(health.Unknown, "of the %v of the whole run, %.1fs were left for it: %s", r.s.Deadline, took.Seconds(), v.reason)
	}
	r.record(name, took, v)
	return v.passed()
}

// record adds what came of a step. One that is taken twice has the worse
// verdict, and the time of both.
func (r *run) record(name string, took time.Duration, v verdict) {
	i := slices.IndexFunc(r.report.Steps, func(s Step) bool { return s.Name == name })
	if i < 0 {
		return
	}
	for _, other := range hangsOn[name] {
		if s, _ := r.report.Step(other); v.status != health.OK && s.Status == health.Critical {
			v.status, v.reason = health.Unknown, "hangs on "+other+", which has failed: "+v.reason
			break
		}
	}
	s := &r.report.Steps[i]
	s.Seconds += took.Seconds()
	fresh := s.Reason == notReached
	if fresh || v.status.WorseThan(s.Status) {
		s.Status, s.Reason, s.Nodes = v.status, v.reason, v.nodes
		if r.o.Told != nil {
			r.o.Told(*s)
		}
	}
}

// conclude makes one verdict of those of the steps.
func (r *run) conclude() {
	r.report.Seconds = time.Since(r.report.Began).Seconds()
	worst := r.report.Steps[0]
	for _, s := range r.report.Steps {
		if s.Status.WorseThan(worst.Status) {
			worst = s
		}
	}
	r.report.Status = worst.Status
	r.report.Reason = worst.Name + ": " + worst.Reason
	if worst.Status == health.OK {
		r.report.Reason = fmt.Sprintf("pods on %s were scheduled, talked and are gone again, in %.1f s", strings.Join(r.report.Nodes, " and "), r.report.Seconds)
	}
}
