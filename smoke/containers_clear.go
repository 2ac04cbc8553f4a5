package smoke

import (
	"context"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// sweep removes what runs that are over have left: they were killed.
func (r *containerRun) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.s.Patience)
	defer cancel()
	all, err := r.runtime.things(ctx)
	if err != nil {
		return // the steps will tell
	}
	now := time.Now() // removing takes its time, and a run goes as a whole
	for _, t := range all {
		if !over(t.labels, now) {
			continue
		}
		began := time.Now()
		if err := t.remove(ctx); err != nil {
			r.stuck = append(r.stuck, t.name)
			r.report.Notes = append(r.report.Notes, "an earlier run has left "+t.name+", and it cannot be removed: "+collectors.RuntimeCause(err, time.Since(began)))
			continue
		}
		r.report.Swept = append(r.report.Swept, t.name)
	}
}

// hungPatience is how long to try to clear up by a runtime that has not
// answered before.
const hungPatience = time.Second

// clear removes what the run has made, and waits until the runtime knows it no
// more.
func (r *containerRun) clear(ctx context.Context) {
	if r.silent {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, hungPatience)
		defer cancel()
	}
	began := time.Now()
	for {
		left, err := r.remove(ctx)
		if len(left) == 0 && err == nil {
			r.report.Leftovers = nil
			r.record(StepDelete, time.Since(began), verdict{})
			return
		}
		if len(left) > 0 {
			r.report.Leftovers = left
		}
		select {
		case <-ctx.Done():
			r.record(StepDelete, time.Since(began), r.stillThere(err, time.Since(began)))
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// remove asks for the removal of all that the run has made, and returns what
// was there.
func (r *containerRun) remove(ctx context.Context) (left []string, err error) {
	all, err := r.runtime.things(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if t.labels[containerRunLabel] != r.report.Run {
			continue
		}
		left = append(left, t.name)
		if failed := t.remove(ctx); failed != nil {
			err = failed
		}
	}
	return left, err
}

// stillThere judges that not all was removed, with the error that came last.
func (r *containerRun) stillThere(err error, took time.Duration) verdict {
	const later = "; its containers end by themselves at the deadline, and the next run removes what is left"
	v := verdictf(health.Critical, "%s does not remove %s", r.runtime.title(), some(r.report.Leftovers))
	switch {
	case r.silent || r.runtime.Unreachable():
		// The step that found it so is to blame.
		return verdictf(health.Unknown, "could not be tried: %s does not answer%s", r.runtime.title(), later).on(r.report.Nodes...)
	case len(r.report.Leftovers) == 0:
		_, text := r.runtime.Fault("listing what the run has made", err, took)
		v = verdictf(health.Critical, "%s %s", r.runtime.title(), text)
	case err != nil:
		v.reason += ": " + collectors.RuntimeCause(err, took)
	}
	v.reason += later
	return v.on(r.report.Nodes...)
}
