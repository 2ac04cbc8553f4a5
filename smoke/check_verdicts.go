package smoke

import (
	"fmt"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// patientTurns is after how many intervals without a run nothing is proven any
// more.
const patientTurns = 3

// maxReason bounds a reason in bytes, as the other checks do.
const maxReason = 400

// standAside says who makes the runs. What this node has said of its own
// stands until the other has made one, so that nothing flaps; for two
// intervals at most.
func (c *check) standAside(r *collectors.Report, who string, own, others time.Time) {
	if c.last != nil && c.made.After(own) {
		own = c.made
	}
	if !own.IsZero() && !others.After(own) && c.now().Sub(own) < 2*c.s.Interval {
		for _, step := range c.s.steps() {
			r.Stands(step)
		}
		c.samples(r)
	} else {
		c.reset()
		c.took.Reset()
	}
	c.made = own
	r.Verdict(runsSubject, health.OK, who+" makes the runs", health.Evidence{})
}

// tell gives the verdicts: of a run that was just made on each step, else on
// whether there are runs at all.
func (c *check) tell(r *collectors.Report, ran bool) {
	since := c.began
	if c.made.After(since) {
		since = c.made
	}
	silence := c.now().Sub(since)
	switch {
	case ran:
		for _, s := range c.last.Steps {
			reason := s.Reason
			if s.Status != health.OK && len(s.Nodes) > 0 {
				reason += " [" + strings.Join(s.Nodes, ", ") + "]"
			}
			r.Verdict(s.Name, s.Status, clip(reason, maxReason), health.Evidence{Value: s.Seconds, Threshold: c.s.Patience.Seconds(), Unit: "seconds"})
		}
	case silence > patientTurns*c.s.Interval:
		c.tellSilence(r, silence)
		return
	default:
		for _, step := range c.s.steps() {
			r.Stands(step)
		}
	}
	if b := &c.breaker; b.reason != "" {
		r.Verdict(runsSubject, health.Warning, clip(fmt.Sprintf("no run before %s: %s", clock(b.until), b.why), maxReason), health.Evidence{})
		return
	}
	r.Verdict(runsSubject, health.OK, clip(c.story(), maxReason), health.Evidence{})
}

// tellSilence says that nothing is proven: what was well may not be any more.
// What was critical stays so: nobody has seen it well.
func (c *check) tellSilence(r *collectors.Report, silence time.Duration) {
	reason := fmt.Sprintf("no run for %v", silence.Round(time.Second))
	if c.held.reason != "" {
		reason += ": " + c.held.why
	}
	reason = clip(reason, maxReason)
	for _, name := range c.s.steps() {
		if c.last != nil {
			if s, _ := c.last.Step(name); s.Status == health.Critical {
				r.Stands(name)
				continue
			}
		}
		r.Verdict(name, health.Unknown, reason, health.Evidence{})
	}
	r.Verdict(runsSubject, health.Unknown, reason, health.Evidence{})
}

// story is what there is to say of the runs while all goes as it should.
func (c *check) story() string {
	text := "this node makes the runs"
	switch {
	case c.held.reason != "":
		text += "; the one that is due waits: " + c.held.why
	case c.last == nil:
		text += "; it has made none yet"
	case len(c.last.Nodes) > 0:
		text += "; the last one was on " + strings.Join(c.last.Nodes, " and ")
	}
	if c.last == nil || len(c.last.Skipped) == 0 {
		return text
	}
	var not []string
	for _, s := range c.last.Skipped {
		not = append(not, s.Node+" ("+s.Reason+")")
	}
	return text + "; not covered: " + strings.Join(not, ", ")
}

// clock writes a time for a person who may sit in another time zone.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
