package collectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/status"

	"github.com/grapevine-mesh/grapevine/health"
)

// canaryLabel marks the containers that the canary makes, with the node's name
// as its value, so that leftovers of a run that was cut short are found.
// Nothing without it is ever removed. Images bear another one: containers
// inherit their image's labels.
const (
	canaryLabel      = "grapevine.canary"
	canaryImageLabel = "grapevine.canary.image"
)

// canaryRetry is how soon a canary that keeps failing is tried again; the
// first time already in the next run, so that one mishap is not shown.
const canaryRetry = time.Minute

// canarySettings is the block "canary" of the checks of container runtimes.
type canarySettings struct {
	// Mode is "auto": run it if an image is at hand; "on": its absence is
	// unknown, not fine; "off".
	Mode string `yaml:"mode"`
	// Interval is the time between two canaries.
	Interval time.Duration `yaml:"interval"`
}

func (s canarySettings) validate() error {
	switch {
	case !slices.Contains([]string{"auto", "on", "off"}, s.Mode):
		return fmt.Errorf("canary: mode: %q is not auto, on or off", clip(s.Mode, 50))
	case s.Interval < 10*time.Second || s.Interval > 24*time.Hour:
		return fmt.Errorf("canary: interval: %v is not between 10s and 24h", s.Interval)
	}
	return nil
}

// canaryMetrics are what the canary of one check exports.
type canaryMetrics struct {
	Enabled, Success, StepSuccess, StepDuration, LastRun, Leftovers Metric
}

// newCanaryMetrics names the metrics of a check; labels go before "step".
func newCanaryMetrics(check string, labels ...string) *canaryMetrics {
	m := func(name string, kind health.Type, help string, more ...string) Metric {
		return Metric{Name: "grapevine_" + check + "_canary_" + name, Type: kind, Help: help, Labels: slices.Concat(labels, more)}
	}
	return &canaryMetrics{
		Enabled:      m("enabled", health.Gauge, "Whether the canary runs: a tiny container, made and removed again."),
		Success:      m("success", health.Gauge, "Whether every step of the last canary went well."),
		StepSuccess:  m("step_success", health.Gauge, "Whether a step of the last canary went well; 0 also when it was not reached.", "step"),
		StepDuration: m("step_duration_seconds", health.Gauge, "Time a step of the last canary took, also when it failed.", "step"),
		LastRun:      m("last_run_timestamp_seconds", health.Gauge, "When the last canary began, in seconds since the epoch by the node's own clock."),
		Leftovers:    m("leftovers_removed_total", health.Counter, "Leftovers of earlier canaries that were removed, since the agent started."),
	}
}

func (m *canaryMetrics) all() []Metric {
	return []Metric{m.Enabled, m.Success, m.StepSuccess, m.StepDuration, m.LastRun, m.Leftovers}
}

// canaryStep is a step on the way of a container through its life.
type canaryStep struct {
	name string
	// run does it; ctx ends before that of the whole canary does.
	run func(ctx context.Context) error
	// clears marks a step that removes what an earlier one made: it is done
	// also when a step between them failed.
	clears bool
}

// NoImageError says that a container runtime lacks an image to run, and how
// to load it. The canary is off then.
type NoImageError struct{ Reason string }

func (e NoImageError) Error() string { return e.Reason }

// canaryDisturbed wraps the error of a step that failed because somebody else
// ended what it works on. Such a canary says nothing, unless it happens again
// and again.
type canaryDisturbed struct{ error }

const maxCanaryDisturbed = 3

func disturbed(err error) bool {
	_, is := errors.AsType[canaryDisturbed](err)
	return is
}

// canaryPlan makes a container runtime ready, removing leftovers, and returns
// the steps, or a NoImageError. removed is how many leftovers were removed.
type canaryPlan func(ctx context.Context) (steps []canaryStep, removed int, err error)

// canary runs the steps from time to time and keeps what came of it.
type canary struct {
	settings canarySettings
	metrics  *canaryMetrics
	labels   []string // values, before "step"
	steps    []string // names, in order

	next      time.Time // not due before
	failures  int       // in a row
	disturbed int       // in a row
	last      canaryRun
	removed   int
}

// canaryRun is what came of one canary.
type canaryRun struct {
	began  time.Time // zero: none yet
	off    string    // why it was not run
	took   map[string]time.Duration
	well   map[string]bool // steps that went well
	failed string          // the first step that failed; empty: none
	err    error           // of that step; nil: the runtime has gone since
	total  time.Duration   // of all steps
}

// run runs the canary if it is due.
func (c *canary) run(ctx context.Context, plan canaryPlan) {
	now := time.Now()
	if c.settings.Mode == "off" || now.Before(c.next) {
		return
	}
	last := c.once(ctx, now, plan)
	if disturbed(last.err) && c.disturbed < maxCanaryDisturbed {
		c.disturbed++ // what the one before has shown still stands
		return
	}
	c.last, c.disturbed = last, 0
	if last.failed == "" {
		c.failures, c.next = 0, now.Add(c.settings.Interval)
		return
	}
	if c.failures++; c.failures > 1 {
		c.next = now.Add(min(canaryRetry, c.settings.Interval))
	}
}

func (c *canary) once(ctx context.Context, now time.Time, plan canaryPlan) canaryRun {
	r := canaryRun{began: now, took: make(map[string]time.Duration), well: make(map[string]bool)}
	working, cancel := ctx, context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok { // keep time to clear up
		working, cancel = context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/4))
	}
	defer cancel()
	do := func(name string, step func(context.Context) error, ctx context.Context) {
		start := time.Now()
		err := step(ctx)
		took := time.Since(start)
		r.took[name], r.well[name] = took, err == nil
		r.total += took
		if err != nil && ctx.Err() != nil {
			err = ctx.Err() // not every client wraps it
		}
		if err != nil && r.failed == "" {
			r.failed, r.err = name, err
		}
	}
	var steps []canaryStep
	do("prepare", func(ctx context.Context) (err error) {
		var removed int
		steps, removed, err = plan(ctx)
		c.removed += removed
		return err
	}, working)
	if off, ok := errors.AsType[NoImageError](r.err); ok {
		return canaryRun{off: off.Reason}
	}
	for _, s := range steps {
		switch {
		case s.clears:
			do(s.name, s.run, ctx)
		case r.failed == "":
			do(s.name, s.run, working)
		}
	}
	return r
}

// interrupt tells that the runtime does not answer at all: no container can
// be run then, and the next canary is due as soon as it answers again.
func (c *canary) interrupt() {
	c.next, c.failures = time.Time{}, 0
	if !c.last.began.IsZero() {
		c.last = canaryRun{began: c.last.began, failed: "prepare"}
	}
}

// report exports and judges the last canary against the limits of all its
// steps together.
func (c *canary) report(r *Report, a *assessment, total DurationLimits) {
	with := func(more ...string) []string { return slices.Concat(c.labels, more) }
	r.Sample(&c.metrics.Leftovers, float64(c.removed), with()...)
	last := &c.last
	switch {
	case c.settings.Mode == "off":
		r.Sample(&c.metrics.Enabled, 0, with()...)
		return
	case last.off != "":
		r.Sample(&c.metrics.Enabled, 0, with()...)
		if c.settings.Mode == "on" {
			a.add(health.Unknown, "cannot be tried with a container: %s", last.off)
		}
		a.note = clip("the canary is off: "+last.off, maxReason)
		return
	case last.began.IsZero(): // nothing answered until now
		return
	}
	r.Sample(&c.metrics.Enabled, 1, with()...)
	r.Sample(&c.metrics.Success, boolean(last.failed == ""), with()...)
	r.Sample(&c.metrics.LastRun, float64(last.began.UnixNano())/1e9, with()...)
	for _, step := range c.steps {
		r.Sample(&c.metrics.StepSuccess, boolean(last.well[step]), with(step)...)
		if took, done := last.took[step]; done {
			r.Sample(&c.metrics.StepDuration, took.Seconds(), with(step)...)
		}
	}
	switch {
	case disturbed(last.err):
		a.add(health.Warning, "is too slow for the canary: %d times in a row its sandbox was ended before the step %q was done; the kubelet does that within seconds to what it does not know",
			maxCanaryDisturbed+1, last.failed)
	case last.err != nil:
		took := last.took[last.failed]
		a.findings = append(a.findings, finding{
			status:   health.Critical,
			text:     fmt.Sprintf("cannot run a container: the step %q failed after %s: %s", last.failed, seconds(took.Seconds()), RuntimeCause(last.err, took)),
			evidence: health.Evidence{Value: took.Seconds(), Threshold: total.Critical.Seconds(), Unit: "seconds"},
		})
	case last.failed == "":
		slowest := slices.MaxFunc(c.steps, func(x, y string) int { return int(last.took[x] - last.took[y]) })
		a.hold(last.total.Seconds(), total.seconds(), "seconds", "needs %s to run and remove a container, %s of them for the step %q",
			seconds(last.total.Seconds()), seconds(last.took[slowest].Seconds()), slowest)
	}
}

// RuntimeCause words why a container runtime did not do what it was asked,
// after a request that took that long. Runtimes wrap the cause into layers of
// their own and put it at the end, so of a long error the middle is left out.
func RuntimeCause(err error, took time.Duration) string {
	if timedOut(err) {
		return cause(err, took)
	}
	text := err.Error()
	if s, ok := status.FromError(err); ok {
		text = s.Message()
	}
	const limit, gap = 230, " ... "
	text = clip(strings.ReplaceAll(text, "Error response from daemon: ", ""), 4<<10)
	if len(text) <= limit {
		return text
	}
	head := clip(text[:(limit-len(gap))/3], limit)
	tail := strings.ToValidUTF8(text[len(text)-(limit-len(gap)-len(head)):], "")
	return head + gap + tail
}
