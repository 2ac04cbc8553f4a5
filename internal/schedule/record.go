package schedule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// RunSubject is the subject of verdicts on a check's run itself: that it
// could not be run, panicked, or has not finished. Of a part it is followed
// by the part's name.
const RunSubject = "run"

// staleAfter is the number of intervals without a finished run after which
// what a check said is no longer believed.
const staleAfter = 3

// outcome is what one run of a check came to.
type outcome struct {
	samples []collectors.Sample
	results []health.Result
	stands  []string // subjects whose last verdict stands

	maintenance []collectors.Maintenance
	families    []*dto.MetricFamily

	// err is why the run failed as a whole; nil when it did not.
	err error
	// partial tells that the run did not look at everything, so that what it
	// does not mention has not gone.
	partial bool
	// overdue is set while the run hangs, and again once every interval.
	overdue, again bool

	took, late time.Duration
}

// change is a status that is shown for the first time.
type change struct {
	from health.Status
	to   health.Result
}

// record is all that is known of one check. It outlives reloads. The
// schedule's lock guards it.
type record struct {
	name    string // of the check
	part    string // as in Check
	enabled bool
	timing  collectors.Timing
	since   time.Time // when it was enabled

	workload bool // as in collectors.Spec

	subjects map[string]*subject
	samples  []collectors.Sample // of the last run alone
	families []*dto.MetricFamily // as samples

	maintenance []collectors.Maintenance // as the last run saw it

	runs, failures uint64
	finished       time.Time // when the last run finished; zero: none yet
	took, late     time.Duration
	looked         bool // a run has ended or is overdue since enabled
	stale          bool // expire has spoken, and no run has finished since
}

// key is unlike that of all other records.
func (rec *record) key() string {
	if rec.part == "" {
		return rec.name
	}
	return rec.name + "/" + rec.part
}

// runSubject is the subject of verdicts on the run.
func (rec *record) runSubject() string {
	if rec.part == "" {
		return RunSubject
	}
	return RunSubject + " of " + rec.part
}

// enable readies the record for runs by timing. What is known stays.
func (rec *record) enable(c Check, now time.Time) {
	rec.timing, rec.workload = c.Timing, c.Workload
	if !rec.enabled {
		rec.enabled, rec.since, rec.looked = true, now, false
	}
}

// disable forgets all but the counters.
func (rec *record) disable() {
	*rec = record{name: rec.name, runs: rec.runs, failures: rec.failures}
}

// apply takes in what a run came to.
func (rec *record) apply(o outcome, now time.Time) []change {
	rec.looked = true
	if !o.again {
		rec.runs++
		rec.samples, rec.families = o.samples, o.families
		rec.took, rec.late = o.took, o.late
		if o.err != nil {
			rec.failures++
		}
	}
	if !o.overdue {
		rec.finished, rec.stale = now, false
		rec.maintenance = o.maintenance
	}

	seen := make(map[string]health.Result, len(o.results)+1)
	for _, r := range o.results {
		if old, ok := seen[r.Subject]; !ok || r.Status.WorseThan(old.Status) {
			seen[r.Subject] = r
		}
	}
	if o.err != nil {
		seen[rec.runSubject()] = unknown(rec.runSubject(), o.err.Error(), now)
	}
	for name := range rec.subjects {
		if _, ok := seen[name]; ok || slices.Contains(o.stands, name) {
			continue
		}
		if !o.partial || name == rec.runSubject() {
			delete(rec.subjects, name)
			continue
		}
		err := o.err
		if err == nil {
			err = errCutShort
		}
		seen[name] = unknown(name, "not seen by the last run: "+err.Error(), now)
	}
	var changes []change
	for _, r := range seen {
		changes = append(changes, rec.observe(r, now)...)
	}
	return changes
}

// errCutShort says why a run that gave no error did not see everything.
var errCutShort = errors.New("its time was up")

func (rec *record) observe(r health.Result, now time.Time) []change {
	r.Check = rec.name
	s, ok := rec.subjects[r.Subject]
	if !ok {
		s = &subject{}
		if rec.subjects == nil {
			rec.subjects = make(map[string]*subject)
		}
		rec.subjects[r.Subject] = s
	}
	from := health.OK // so that a first OK is no news
	if ok {
		from = s.shown.Status
	}
	if !s.observe(r, rec.timing, now) {
		return nil
	}
	return []change{{from: from, to: s.shown}}
}

// expire ends what the check said when no run has finished for too long, for
// whatever cause: a hung run, or a fault of our own.
func (rec *record) expire(now time.Time) []change {
	alive := rec.finished
	if alive.Before(rec.since) {
		alive = rec.since
	}
	if !rec.enabled || rec.stale || now.Sub(alive) <= staleAfter*rec.timing.Interval {
		return nil
	}
	rec.stale, rec.samples, rec.families, rec.maintenance = true, nil, nil, nil
	reason := fmt.Sprintf("no run has finished since %s", clock(alive))
	var changes []change
	if rec.subjects[rec.runSubject()] == nil {
		changes = rec.observe(unknown(rec.runSubject(), reason, now), now)
	}
	for name, s := range rec.subjects {
		if name == rec.runSubject() {
			continue
		}
		from := s.shown
		*s = subject{}
		r := unknown(name, reason, now)
		r.Check = rec.name
		s.observe(r, rec.timing, now)
		if from.Status == health.Unknown {
			s.shown.Since = from.Since
			continue
		}
		changes = append(changes, change{from: from.Status, to: s.shown})
	}
	return changes
}

// pending reports whether a change of some subject waits for confirmation.
func (rec *record) pending() bool {
	for _, s := range rec.subjects {
		if s.pending() {
			return true
		}
	}
	return false
}

func unknown(subject, reason string, now time.Time) health.Result {
	return health.Result{Subject: subject, Status: health.Unknown, Reason: reason, Observed: now}
}

// clock writes a time for a person who may sit in another time zone.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
