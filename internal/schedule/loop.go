package schedule

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/go-kit/log/level"
)

// firstWithin bounds the delay of a check's first run: a node that has just
// started says something soon.
const firstWithin = time.Second

// loop runs one check again and again. It owns the collector, and ends only
// when the collector has: the schedule does not wait for it for ever.
type loop struct {
	Check
	schedule *Schedule
	record   *record
	before   <-chan struct{}    // closed when an earlier loop of the same check has ended; may be nil
	cancel   context.CancelFunc // set when started
	done     chan struct{}
}

func (l *loop) run(ctx context.Context) {
	defer close(l.done)
	defer l.close()
	if l.before != nil && !l.await(ctx, l.before, time.Now()) {
		return
	}
	// The first run comes soon, the second at any point of the interval, so
	// that the checks of a fleet started together do not stay in step.
	interval := l.Timing.Interval
	due := time.Now().Add(l.schedule.within(min(interval, firstWithin)))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		started := time.Now()
		if !l.once(ctx, started.Sub(due)) {
			return
		}
		switch {
		case l.schedule.pending(l.record):
			due = started.Add(max(interval/3, time.Second))
		case first:
			due = started.Add(interval/2 + l.schedule.within(interval/2))
		default:
			due = started.Add(interval)
		}
		if now := time.Now(); due.Before(now) {
			due = now
		}
		timer.Reset(time.Until(due))
	}
}

// once runs the check and takes in what it says. It returns when Collect has,
// however long that takes, and reports whether the loop is to go on.
func (l *loop) once(ctx context.Context, late time.Duration) bool {
	logger := l.schedule.logger
	r := start(ctx, l.Check, logger)
	overdue := time.NewTimer(patience(l.Timing))
	defer overdue.Stop()
	select {
	case <-r.done:
	case <-ctx.Done():
		<-r.done // cut short by us: its word does not count
		return false
	case <-overdue.C:
		o := r.overdue()
		o.late = late
		l.schedule.apply(l, o)
		if !l.await(ctx, r.done, r.started) {
			return false
		}
		_ = level.Warn(logger).Log("msg", "overdue check has finished at last", "check", l.record.key(), "took", time.Since(r.started))
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	o := r.outcome(l.Timing.Timeout)
	o.late = late
	l.schedule.apply(l, o)
	return true
}

// await waits for done, and once an interval says that the run that started
// at since is overdue. It reports whether the loop is to go on; it returns
// after done in any case.
func (l *loop) await(ctx context.Context, done <-chan struct{}, since time.Time) bool {
	tick := time.NewTicker(l.Timing.Interval)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return ctx.Err() == nil
		case <-ctx.Done():
			<-done
			return false
		case <-tick.C:
			l.schedule.apply(l, outcome{err: errOverdue(since), partial: true, overdue: true, again: true})
		}
	}
}

func (l *loop) close() {
	c, ok := l.Collector.(io.Closer)
	if !ok {
		return
	}
	if err := c.Close(); err != nil && !errors.Is(err, context.Canceled) {
		_ = level.Warn(l.schedule.logger).Log("msg", "closing a check", "check", l.record.key(), "err", err)
	}
}
