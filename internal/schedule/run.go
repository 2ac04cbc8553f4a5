package schedule

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// run is one call of a collector, in a goroutine of its own.
type run struct {
	started time.Time
	report  *collectors.Report
	done    chan struct{} // closed when Collect has returned

	// Valid once done is closed.
	err    error
	failed bool // panicked or gave up its goroutine
	cut    bool // the time was up before Collect returned
	took   time.Duration
}

// start calls the collector, with its timeout as a deadline on ctx.
func start(ctx context.Context, c Check, logger log.Logger) *run {
	r := &run{started: time.Now(), report: collectors.NewReport(time.Now), done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(ctx, c.Timing.Timeout)
	go func() {
		defer close(r.done)
		defer cancel()
		returned := false
		defer func() {
			r.took = time.Since(r.started)
			r.cut = ctx.Err() != nil
			if returned {
				return
			}
			r.failed = true
			if p := recover(); p != nil {
				r.err = fmt.Errorf("check panicked: %v", p)
				_ = level.Error(logger).Log("msg", "check panicked", "check", c.Collector.Name(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				return
			}
			r.err = errors.New("check ended its goroutine instead of returning")
		}()
		r.err = c.Collector.Collect(ctx, r.report)
		returned = true
	}()
	return r
}

// outcome is what the finished run came to.
func (r *run) outcome(timeout time.Duration) outcome {
	o := outcome{err: r.err, took: r.took, partial: r.err != nil || r.cut}
	if errors.Is(r.err, context.DeadlineExceeded) && r.cut {
		o.err = fmt.Errorf("not finished within its timeout of %v: %w", timeout, r.err)
	}
	o.samples, o.results = r.report.Take()
	o.stands, o.maintenance, o.families = r.report.Standing(), r.report.Maintained(), r.report.Families()
	return o
}

// overdue is what a run that has not finished has come to so far. It closes
// the report: what the run still writes is dropped.
func (r *run) overdue() outcome {
	o := outcome{err: errOverdue(r.started), took: time.Since(r.started), partial: true, overdue: true}
	o.samples, o.results = r.report.Take()
	o.stands, o.families = r.report.Standing(), r.report.Families()
	return o
}

func errOverdue(since time.Time) error {
	return fmt.Errorf("has not finished since it started at %s", clock(since))
}

// patience is how long a run may take: its timeout, and a little for the
// collector to notice that it is over.
func patience(t collectors.Timing) time.Duration {
	return min(t.Timeout+time.Second, t.Interval)
}
