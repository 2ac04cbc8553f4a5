package schedule

import "time"

// tally is what is told of the runs of a check: of all its parts together.
type tally struct {
	enabled        bool // one is
	runs, failures uint64
	looked         bool          // one has
	took, late     time.Duration // the longest of the last runs
	finished       time.Time     // the last run of the part that is furthest behind; zero: none yet
}

// tallies adds up the records, by the names of the checks.
func tallies(records map[string]*record) map[string]*tally {
	all := make(map[string]*tally)
	for _, rec := range records {
		t := all[rec.name]
		if t == nil {
			t = &tally{}
			all[rec.name] = t
		}
		t.enabled = t.enabled || rec.enabled
		t.runs += rec.runs
		t.failures += rec.failures
		t.looked = t.looked || rec.looked
		t.took, t.late = max(t.took, rec.took), max(t.late, rec.late)
		if !rec.finished.IsZero() && (t.finished.IsZero() || rec.finished.Before(t.finished)) {
			t.finished = rec.finished
		}
	}
	return all
}

func (e *export) tally(name string, t *tally) {
	e.add(&metricEnabled, boolean(t.enabled), name)
	if t.enabled || t.runs > 0 {
		e.add(&metricRuns, float64(t.runs), name)
		e.add(&metricFailures, float64(t.failures), name)
	}
	if t.looked {
		e.add(&metricDuration, t.took.Round(time.Microsecond).Seconds(), name)
		e.add(&metricDelay, t.late.Round(time.Microsecond).Seconds(), name)
	}
	if !t.finished.IsZero() {
		e.add(&metricLastRun, float64(t.finished.UnixMilli())/1000, name)
	}
}
