package smoke

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// Spec declares the check that has the agents make runs.
func Spec() collectors.Spec {
	return collectors.Spec{
		Name:    checkName,
		Summary: "whether the cluster does its work: pods on two nodes are scheduled, run, talk and go away again; off until it is switched on",
		Why:     "Each part can say that it is well while the whole does nothing: only a pod that was scheduled, ran and was heard proves that the next one will be, too.",
		Remedy: "Make a run by hand with grapevine smoke: it tells each step as it goes. The first step that is not ok is where to look, on the nodes it names. " +
			"What has to be switched on, and what a run may leave behind, is in docs/operations.md.",
		Subject:  `step of a run; "runs" for who makes them and whether any are made`,
		Metrics:  checkMetrics(),
		Settings: func() collectors.Settings { return DefaultCheck() },
	}
}

// settle is how long an agent has to find the others before it makes a run:
// of a cluster whose agents all start at once, only the chosen one shall.
const settle = 30 * time.Second

// check has this node make a run when it is chosen to and one is due.
type check struct {
	s   CheckSettings
	env collectors.Env
	now func() time.Time

	client *Client // closed with the check
	// probe tells how long the API server takes for a small answer.
	probe func(context.Context) (time.Duration, error)
	run   func(ctx context.Context, turn uint64) Report
	took  *prometheus.HistogramVec

	began   time.Time // of this collector
	made    time.Time // when the last run was made by anybody, as far as is known; zero: not known
	who     string    // made the runs at the last look
	last    *Report   // of this node's last run; nil: none since it was chosen
	counts  counts
	breaker breaker
	held    held
	confirm confirmation
}

// counts are since this node makes the runs.
type counts struct {
	runs    map[health.Status]int
	skipped map[string]int // by one of holds
	swept   int
	success time.Time
}

// held is a run that was due and has not been made.
type held struct {
	turn   uint64
	reason string // one of holds; empty: none is held
	why    string
}

// confirmation tells whether runs agree.
type confirmation struct {
	picture []health.Status // of the steps, in the last run
	same    int             // runs in a row that saw it
	extra   int             // runs beside that which was due, in this turn
}

func newCheck(s CheckSettings, env collectors.Env) *check {
	c := &check{s: s, env: env, now: time.Now, took: metricStepDuration.Histogram(env.Registry)}
	c.began = c.now()
	c.reset()
	return c
}

// reset forgets all that this node knows of its runs.
func (c *check) reset() {
	c.last, c.breaker, c.held, c.confirm = nil, breaker{}, held{}, confirmation{}
	c.counts = counts{runs: map[health.Status]int{}, skipped: map[string]int{}}
}

// Name is the check's name.
func (c *check) Name() string { return checkName }

// Close ends the idle connections.
func (c *check) Close() error {
	if c.client == nil {
		return nil
	}
	return c.client.Close()
}

// Collect makes a run if this node is to and one is due. Else it tells what is
// known of the last one.
func (c *check) Collect(ctx context.Context, r *collectors.Report) error {
	all := c.env.Verdicts()
	who := runner(c.env.Node, all)
	if who != c.who {
		level.Info(c.env.Logger).Log("msg", "smoke tests are made by", "node", who, "was", c.who)
		c.who = who
	}
	own, others := lastRun(c.env.Node, all)
	if who != c.env.Node {
		c.standAside(r, who, own, others)
		return nil
	}
	if c.last == nil {
		for _, known := range []time.Time{own, others} {
			if known.After(c.made) {
				c.made = known
			}
		}
		if !own.IsZero() && !others.After(own) {
			c.last = c.recall(all, own)
		}
	}
	ran := false
	if now := c.now(); c.due(now) {
		if c.held = c.hold(ctx, now, all); c.held.reason == "" {
			c.makeRun(ctx, now)
			ran = true
		}
	}
	c.samples(r)
	c.tell(r, ran)
	return nil
}

// due tells whether a run is to be made now: one in each turn, the first one
// soon, and a further one in the same turn when the last two do not agree.
func (c *check) due(now time.Time) bool {
	if now.Sub(c.began) < settle {
		return false
	}
	if c.made.IsZero() {
		return true
	}
	if TurnAt(now, c.s.Interval) == TurnAt(c.made, c.s.Interval) {
		return c.confirm.wanted(&c.s)
	}
	return now.Sub(c.made) >= c.s.Interval/2
}

// wanted tells whether one more run is to confirm the last one.
func (k *confirmation) wanted(s *CheckSettings) bool {
	if k.picture == nil {
		return false
	}
	needed := s.SuccessThreshold
	if slices.ContainsFunc(k.picture, func(st health.Status) bool { return st != health.OK }) {
		needed = s.FailureThreshold
	}
	return k.same < needed && k.extra < needed-1
}

// see takes in what a run saw. The first run ever that is well needs no other.
func (k *confirmation) see(r *Report, sameTurn bool) {
	picture := make([]health.Status, len(r.Steps))
	for i, s := range r.Steps {
		picture[i] = s.Status
	}
	switch {
	case slices.Equal(picture, k.picture):
		k.same++
	case k.picture == nil && r.Status == health.OK:
		k.same = maxThreshold
	default:
		k.same = 1
	}
	k.picture, k.extra = picture, k.extra+1
	if !sameTurn {
		k.extra = 0
	}
}

// hold tells why the run that is due is not to be made now.
func (c *check) hold(ctx context.Context, now time.Time, all []collectors.NodeVerdicts) held {
	h := held{turn: TurnAt(now, c.s.Interval)}
	again := c.held.turn == h.turn && c.held.reason != ""
	switch down := degraded(all); {
	case c.breaker.reason != "" && now.Before(c.breaker.until):
		h.reason, h.why = c.breaker.reason, c.breaker.why
	case down != "":
		h.reason, h.why = holdDegraded, down
	case again && c.held.reason == holdSlow: // it has been asked in this turn
		return c.held
	default:
		took, err := c.probe(ctx)
		if err == nil && took <= c.s.MaxLatency || err != nil && took < c.s.MaxLatency {
			return held{} // a refusal is for the run to word
		}
		h.reason, h.why = holdSlow, fmt.Sprintf("the API server took %.1f s for a small answer", took.Seconds())
	}
	if again || h.turn == TurnAt(c.made, c.s.Interval) && c.last != nil { // a second run is no run that is missed
		return h
	}
	c.counts.skipped[h.reason]++
	level.Info(c.env.Logger).Log("msg", "smoke test put off", "reason", h.reason, "why", h.why)
	return h
}

func (c *check) makeRun(ctx context.Context, now time.Time) {
	turn := TurnAt(now, c.s.Interval)
	report := c.run(ctx, turn)
	c.confirm.see(&report, turn == TurnAt(c.made, c.s.Interval))
	c.last, c.made = &report, now
	c.counts.runs[report.Status]++
	c.counts.swept += len(report.Swept)
	if report.Status == health.OK {
		c.counts.success = report.Began
	}
	for _, s := range report.Steps {
		if s.Reason != notReached {
			c.took.WithLabelValues(s.Name).Observe(s.Seconds)
		}
	}
	c.breaker.judge(now, &c.s, &report)
	level.Info(c.env.Logger).Log("msg", "smoke test", "run", report.Run, "status", report.Status, "reason", report.Reason,
		"nodes", strings.Join(report.Nodes, ","), "seconds", fmt.Sprintf("%.1f", report.Seconds))
}
