package frame

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
)

const (
	fieldValues  protowire.Number = 1 // numbers, one after the other
	fieldVerdict protowire.Number = 2 // one for each subject of the schema

	fieldStatus    protowire.Number = 1
	fieldReason    protowire.Number = 2
	fieldObserved  protowire.Number = 3 // age in milliseconds when the frame was made
	fieldSince     protowire.Number = 4 // age in milliseconds when the frame was made
	fieldMeasured  protowire.Number = 5 // number
	fieldThreshold protowire.Number = 6 // number
)

// EncodePayload writes the values and verdicts of a snapshot taken at now.
func EncodePayload(s health.Snapshot, now time.Time) []byte {
	var values []byte
	for _, v := range s.Values {
		values = appendNumber(values, v)
	}
	b := appendBytes(nil, fieldValues, values)
	for _, r := range s.Results {
		b = appendBytes(b, fieldVerdict, encodeVerdict(r, now))
	}
	return b
}

func encodeVerdict(r health.Result, now time.Time) []byte {
	m := appendUint(nil, fieldStatus, uint64(r.Status))
	if r.Reason != "" {
		m = appendString(m, fieldReason, r.Reason)
	}
	m = appendUint(m, fieldObserved, age(r.Observed, now))
	m = appendUint(m, fieldSince, age(r.Since, now))
	if r.Evidence.Unit != "" {
		m = appendBytes(m, fieldMeasured, appendNumber(nil, r.Evidence.Value))
		m = appendBytes(m, fieldThreshold, appendNumber(nil, r.Evidence.Threshold))
	}
	return m
}

// age in milliseconds; what lies ahead of now has none.
func age(t, now time.Time) uint64 { return uint64(max(0, now.Sub(t).Milliseconds())) }

// Snapshot reads the payload against its schema. made is when the frame was
// made, on this host's clock: now minus the age it arrived with.
func (f *Frame) Snapshot(schema *Schema, limits Limits, made time.Time) (*health.Snapshot, error) {
	b, err := inflate(f.payload)
	if err != nil {
		return nil, fmt.Errorf("frame of %s: %w", f.Node, err)
	}
	s := &health.Snapshot{Node: f.Node, Schema: schema.Series}
	if err := Fields(b, func(n protowire.Number, v Value) (err error) {
		switch n {
		case fieldValues:
			s.Values, err = parseValues(v.Bytes, schema.Series.Width())
		case fieldVerdict:
			if len(s.Results) == len(schema.Subjects) {
				return fmt.Errorf("more verdicts than the %d subjects of the schema", len(schema.Subjects))
			}
			var r health.Result
			r, err = parseVerdict(v.Bytes, limits, made)
			subject := schema.Subjects[len(s.Results)]
			r.Check, r.Subject, r.Evidence.Unit = subject.Check, subject.Subject, subject.Unit
			s.Results = append(s.Results, r)
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("frame of %s: %w", f.Node, err)
	}
	if len(s.Values) != schema.Series.Width() || len(s.Results) != len(schema.Subjects) {
		return nil, fmt.Errorf("frame of %s: %d values and %d verdicts for a schema of %d and %d", f.Node,
			len(s.Values), len(s.Results), schema.Series.Width(), len(schema.Subjects))
	}
	return s, nil
}

func parseValues(b []byte, width int) ([]float64, error) {
	values := make([]float64, 0, width)
	for len(b) > 0 {
		v, n, err := consumeNumber(b)
		if err != nil {
			return nil, err
		}
		if len(values) == width {
			return nil, fmt.Errorf("more values than the %d of the schema", width)
		}
		values, b = append(values, v), b[n:]
	}
	return values, nil
}

// MaxAge bounds ages, so that no arithmetic on them overflows.
const MaxAge = 10 * 365 * 24 * time.Hour

func parseVerdict(b []byte, limits Limits, made time.Time) (r health.Result, err error) {
	r.Status, r.Observed, r.Since = health.Unknown, made, made
	err = Fields(b, func(n protowire.Number, v Value) (err error) {
		before := func() time.Time {
			return made.Add(-time.Duration(min(v.Uint, uint64(MaxAge.Milliseconds()))) * time.Millisecond)
		}
		switch n {
		case fieldStatus:
			if v.Uint <= uint64(health.Unknown) {
				r.Status = health.Status(v.Uint)
			}
		case fieldReason:
			r.Reason, err = v.text(limits.TextBytes)
		case fieldObserved:
			r.Observed = before()
		case fieldSince:
			r.Since = before()
		case fieldMeasured:
			r.Evidence.Value, _, err = consumeNumber(v.Bytes)
		case fieldThreshold:
			r.Evidence.Threshold, _, err = consumeNumber(v.Bytes)
		}
		return err
	})
	return r, err
}
