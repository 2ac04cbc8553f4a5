package frame

import (
	"cmp"
	"errors"
	"math"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// Verdicts are coded in the order of the schema's subjects, as columns: first
// every status, then every age, and so on, since each column's entries are
// much alike.

// MaxAge bounds ages, so that no arithmetic on them overflows.
const MaxAge = 10 * 365 * 24 * time.Hour

// Ages travel in these units. They are rounded up: nothing may look fresher
// than it is.
const (
	observedUnit = 100 * time.Millisecond
	sinceUnit    = time.Second
)

// verdictCoder codes the verdicts of a snapshot.
type verdictCoder struct {
	*coder
	status                  [4 * 4]chance // a tree for each status that the one before may have
	observed, since         ages
	evidence, threshold     numbers
	zero, reasoned, foreign chance
	texts                   []string // those written
	received                [][]byte // those not read yet
	limit                   int      // bytes of a text
}

// verdicts codes results, which go with subjects; when reading, it fills them
// in. A text beyond its bounds is an error.
func (v *verdictCoder) verdicts(subjects []Subject, results []health.Result, made time.Time) error {
	last := health.OK
	for i := range results {
		r := &results[i]
		status := min(r.Status, health.Unknown)
		r.Status = health.Status(v.tree(v.status[4*last:][:4], int(status)))
		last = r.Status
	}
	for i := range results {
		results[i].Observed = v.observed.age(v.coder, results[i].Observed, made, observedUnit)
	}
	for i := range results {
		results[i].Since = v.since.age(v.coder, results[i].Since, made, sinceUnit)
	}
	var err error
	for i := range results {
		err = cmp.Or(err, v.evidenceOf(&results[i].Evidence, &subjects[i]))
	}
	for i := range results {
		r, usual := &results[i], subjects[i].Reason
		if !v.flag(&v.reasoned, r.Reason != usual) {
			r.Reason = usual
			continue
		}
		text, textErr := v.text(r.Reason)
		r.Reason, err = text, cmp.Or(err, textErr)
	}
	return err
}

// evidenceOf codes the value, and what the schema expects threshold and unit
// to be if they are not: a check may hold a subject against another limit as
// things get worse, and that is no moment to tell everybody a new schema.
func (v *verdictCoder) evidenceOf(e *health.Evidence, subject *Subject) (err error) {
	if v.flag(&v.foreign, e.Unit != subject.Unit || math.Float64bits(e.Threshold) != math.Float64bits(subject.Threshold)) {
		e.Unit, err = v.text(e.Unit)
		e.Threshold = v.threshold.number(v.coder, e.Threshold, subject.Threshold)
	} else {
		e.Unit, e.Threshold = subject.Unit, subject.Threshold
	}
	if e.Unit == "" || v.flag(&v.zero, same(e.Value, 0)) {
		e.Value = 0
		return err
	}
	e.Value = v.evidence.number(v.coder, e.Value, 0)
	return err
}

func (v *verdictCoder) text(s string) (string, error) {
	if !v.reading() {
		v.texts = append(v.texts, s)
		return Value{Bytes: []byte(s)}.text(v.limit)
	}
	if len(v.received) == 0 {
		return "", errors.New("a text is missing")
	}
	s, err := Value{Bytes: v.received[0]}.text(v.limit)
	v.received = v.received[1:]
	return s, err
}

// ages is what has been learnt of some kind of age. Many are equal, since one
// run of a check gives several verdicts.
type ages struct {
	last    uint64
	repeats chance
	size    sizes
}

// age codes t as its age at made, in units. What lies ahead has none.
func (a *ages) age(c *coder, t, made time.Time, unit time.Duration) time.Time {
	n := uint64((min(max(0, made.Sub(t)), MaxAge) + unit - 1) / unit)
	if !c.flag(&a.repeats, n == a.last) {
		a.last = min(c.size(&a.size, n), uint64(MaxAge/unit))
	}
	if !c.reading() {
		return t
	}
	return made.Add(-time.Duration(a.last) * unit)
}
