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
	local  bool // reason goes on after "on " and the nodes, which join puts there
}

func verdictf(status health.Status, format string, args ...any) verdict {
	return verdict{status: status, reason: fmt.Sprintf(format, args...)}
}

// on names the nodes to look at.
func (v verdict) on(nodes ...string) verdict {
	v.nodes = nodes
	return v
}

// text is the reason as a sentence.
func (v verdict) text() string {
	if v.local {
		return "on " + strings.Join(v.nodes, " and ") + " " + v.reason
	}
	return v.reason
}

// passed tells whether the next step can be taken.
func (v verdict) passed() bool { return v.status == health.OK }

// join makes one verdict of several: the worst, with the reasons of all that
// are not well, each once.
func join(all []verdict) verdict {
	var joined verdict
	var distinct []verdict
	for _, v := range all {
		if v.status.WorseThan(joined.status) {
			joined.status = v.status
		}
		if v.status == health.OK {
			continue
		}
		joined.nodes = union(joined.nodes, v.nodes)
		i := slices.IndexFunc(distinct, func(d verdict) bool { return d.reason == v.reason })
		if i < 0 {
			i, distinct = len(distinct), append(distinct, verdict{reason: v.reason, local: v.local})
		}
		distinct[i].nodes = union(distinct[i].nodes, v.nodes)
	}
	texts := make([]string, len(distinct))
	for i, d := range distinct {
		texts[i] = d.text()
	}
	joined.reason = strings.Join(texts, "; ")
	return joined
}

// union appends what a lacks of b.
func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// hangsOn are the steps that cannot go well when another has failed: they are
// not blamed then.
var hangsOn = map[string][]string{
	StepUDP:     {StepTCP},
	StepService: {StepTCP, StepUDP},
	StepDNS:     {StepTCP, StepUDP, StepService},
	StepAPI:     {StepService},
	StepPolicy:  {StepTCP},
	StepDelete:  {StepSandbox, StepNetwork, StepStart, StepRuntime},
	StepOverUDP: {StepOverTCP},
}

// course is the way of a run through its steps.
type course struct {
	s      Settings
	told   func(Step)      // nil: nobody is told
	outer  context.Context // of who has asked for the run
	report Report
}

// begin lists the steps, none of which is reached yet.
func (c *course) begin(steps []string) {
	for _, name := range steps {
		c.report.Steps = append(c.report.Steps, Step{Name: name, Status: health.Unknown, Reason: notReached})
	}
}

// step takes a step, with the patience there is for one, and tells whether the
// next one can be taken.
func (c *course) step(ctx context.Context, name string, take func(context.Context) verdict) bool {
	patient, cancel := context.WithTimeout(ctx, c.s.Patience)
	defer cancel()
	began := time.Now()
	v := take(patient)
	took := time.Since(began)
	v = c.excuse(ctx, took, v)
	c.record(name, took, v)
	return v.passed()
}

// excuse is the verdict on a step that has taken that long, unless it comes of
// the end of the whole run, whose context ctx is.
func (c *course) excuse(ctx context.Context, took time.Duration, v verdict) verdict {
	switch {
	case v.status == health.OK:
	case c.interrupted():
		return verdictf(health.Unknown, "interrupted")
	case ctx.Err() != nil && took < c.s.Patience/2:
		return verdictf(health.Unknown, "of the %v of the whole run, %.1fs were left for it: %s", c.s.Deadline, took.Seconds(), v.reason)
	}
	return v
}

// interrupted tells whether who has asked for the run wants it no more.
func (c *course) interrupted() bool {
	return c.outer.Err() != nil && errors.Is(context.Cause(c.outer), context.Canceled)
}

// record adds what came of a step. One that is taken twice has the worse
// verdict, and the time of both.
func (c *course) record(name string, took time.Duration, v verdict) {
	i := slices.IndexFunc(c.report.Steps, func(s Step) bool { return s.Name == name })
	if i < 0 {
		return
	}
	if below := c.failedBelow(name); below != "" && v.status != health.OK {
		v.status, v.reason = health.Unknown, "hangs on "+below+", which has failed: "+v.reason
	}
	s := &c.report.Steps[i]
	s.Seconds += took.Seconds()
	fresh := s.Reason == notReached
	if fresh || v.status.WorseThan(s.Status) {
		s.Status, s.Reason, s.Nodes = v.status, v.reason, v.nodes
		if c.told != nil {
			c.told(*s)
		}
	}
}

// failedBelow is a step that has failed and without which this one cannot go
// well; empty: none.
func (c *course) failedBelow(name string) string {
	for _, other := range hangsOn[name] {
		if s, _ := c.report.Step(other); s.Status == health.Critical {
			return other
		}
	}
	return ""
}

// conclude makes one verdict of those of the steps. well is what to say when
// they all are.
func (c *course) conclude(well string) {
	c.report.Seconds = time.Since(c.report.Began).Seconds()
	worst := c.report.worst()
	c.report.Status = worst.Status
	c.report.Reason = worst.Name + ": " + worst.Reason
	if worst.Status == health.OK {
		c.report.Reason = fmt.Sprintf("%s, in %.1f s", well, c.report.Seconds)
	}
}
