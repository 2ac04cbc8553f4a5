package schedule

import (
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// mildFirst orders the statuses as health.Status.WorseThan does.
var mildFirst = [...]health.Status{health.OK, health.Unknown, health.Warning, health.Critical}

// subject damps the verdicts about one subject of one check: a worse status
// is shown after FailureThreshold runs in a row, a better one after
// SuccessThreshold.
type subject struct {
	shown  health.Result // what others see; Status and Since change only when confirmed
	newest health.Result // what the last run said

	// last holds the newest result of each status, so that a status that is
	// still shown keeps a reason that fits it.
	last [len(mildFirst)]health.Result

	// atLeast and atMost count, by status, the runs in a row that saw that
	// status or worse, and that status or better. Counting both lets a subject
	// that wavers between warning and critical be called a warning.
	atLeast, atMost [len(mildFirst)]int
}

// observe takes in what a run said and reports whether the status shown has
// changed. A subject seen for the first time changes from nothing to its
// first status.
func (s *subject) observe(r health.Result, timing collectors.Timing, now time.Time) bool {
	first := s.newest.Observed.IsZero()
	s.newest = r
	s.last[r.Status] = r
	for _, st := range mildFirst {
		s.atLeast[st]++
		s.atMost[st]++
		if st.WorseThan(r.Status) {
			s.atLeast[st] = 0
		}
		if r.Status.WorseThan(st) {
			s.atMost[st] = 0
		}
	}

	from, since := s.shown.Status, s.shown.Since
	if first {
		// Good news needs no confirmation; bad news does, and until then
		// nothing is known.
		from = health.Unknown
		if r.Status == health.OK {
			from = health.OK
		}
	}
	to := s.confirmed(from, timing)
	if first || to != s.shown.Status {
		since = now
	}
	changed := first || to != s.shown.Status
	s.shown = s.present(to, timing)
	s.shown.Since = since
	return changed
}

// confirmed is the status furthest from that enough runs in a row agree on.
func (s *subject) confirmed(from health.Status, timing collectors.Timing) health.Status {
	to := from
	for _, st := range mildFirst {
		if st.WorseThan(to) && s.atLeast[st] >= timing.FailureThreshold {
			to = st
		}
	}
	if to != from {
		return to
	}
	for i := range mildFirst {
		st := mildFirst[len(mildFirst)-1-i]
		if to.WorseThan(st) && s.atMost[st] >= timing.SuccessThreshold {
			to = st
		}
	}
	return to
}

// present words the newest result for a subject whose status is shown.
func (s *subject) present(shown health.Status, timing collectors.Timing) health.Result {
	if s.newest.Status == shown {
		return s.newest
	}
	runs, of := s.atMost[s.newest.Status], timing.SuccessThreshold
	if s.newest.Status.WorseThan(shown) {
		runs, of = s.atLeast[s.newest.Status], timing.FailureThreshold
	}
	r := s.last[shown]
	news := s.newest.Status.String()
	if s.newest.Reason != "" {
		news += ": " + s.newest.Reason
	}
	if r.Observed.IsZero() {
		r = s.newest
		r.Reason = fmt.Sprintf("waiting for confirmation, run %d of %d saw %s", runs, of, news)
	} else {
		if r.Reason != "" {
			r.Reason += "; "
		}
		r.Reason += fmt.Sprintf("not confirmed yet, run %d of %d saw %s", runs, of, news)
	}
	r.Status, r.Observed = shown, s.newest.Observed
	return r
}

// pending reports whether the newest status waits to be confirmed.
func (s *subject) pending() bool { return s.newest.Status != s.shown.Status }
