package collectors

import (
	"slices"
	"time"
)

// leaseRecord is what a holder writes into a lease again and again.
type leaseRecord struct {
	holder      string    // empty: it was given back
	renewed     time.Time // by the holder's clock; zero: never
	duration    time.Duration
	transitions int
}

// leaseWatch tells how long ago a lease was last renewed, from seeing it
// change and not from the times in it: those are of another machine's clock.
// All times it is given are of this node and carry the monotonic clock's, so
// that a step of this node's clock does not matter either.
type leaseWatch struct {
	began   time.Time // first sight of any record
	last    leaseRecord
	first   time.Time // first sight of last
	sighted time.Time // last sight of last

	// seemed is how old the newest records seemed at their first sight, by
	// this node's clock against the holder's. The least of them is by how
	// much the holder's clock is behind, and hardly more. Empty until a record
	// was seen to follow another.
	seemed []time.Duration

	failed    bool      // the newest attempt to read did
	recovered time.Time // when reading succeeded again after it had not; zero: never
}

// maxSeemed is how many records the holder's clock is judged by: few enough
// to follow when it drifts or is set.
const maxSeemed = 8

// lost notes that the lease could not be read: nor may its holder have been
// able to write it.
func (w *leaseWatch) lost() { w.failed = true }

// see takes in a record that was read at now.
func (w *leaseWatch) see(now time.Time, rec leaseRecord) {
	if w.failed {
		w.failed, w.recovered = false, now
	}
	switch {
	case w.began.IsZero():
		w.began, w.first = now, now
	case rec.holder != w.last.holder || !rec.renewed.Equal(w.last.renewed):
		seems := w.seemsOld(now, rec)
		// What makes the record older than it can be is of another clock: that
		// of another holder, or one that was set back.
		if rec.holder != w.last.holder || len(w.seemed) > 0 && seems-slices.Min(w.seemed) > now.Sub(w.sighted) {
			w.seemed = nil
		}
		w.first = now
		w.seemed = append(w.seemed, seems)
		w.seemed = w.seemed[max(0, len(w.seemed)-maxSeemed):]
	}
	w.last, w.sighted = rec, now
}

// seemsOld is the age of a record by this node's clock against the holder's.
func (w *leaseWatch) seemsOld(now time.Time, rec leaseRecord) time.Duration {
	return w.began.Add(now.Sub(w.began)).Round(0).Sub(rec.renewed)
}

// age is how long ago the lease was last renewed: at least, and hardly more.
// It is sure once a renewal was seen; until then it is what the two clocks
// say, which may be anything.
func (w *leaseWatch) age(now time.Time) (age time.Duration, sure bool) {
	watched := now.Sub(w.first)
	if w.last.renewed.IsZero() {
		return watched, true
	}
	if len(w.seemed) == 0 {
		return max(watched, w.seemsOld(now, w.last)), false
	}
	return max(watched, w.seemsOld(now, w.last)-slices.Min(w.seemed)), true
}

// silence is the part of age that can be held against the holder: what went
// by while the lease could be read, and thus written.
func (w *leaseWatch) silence(now time.Time) time.Duration {
	age, _ := w.age(now)
	if w.recovered.IsZero() {
		return age
	}
	return min(age, now.Sub(w.recovered))
}
