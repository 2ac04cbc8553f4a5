package frame

import (
	"fmt"
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// Content is a snapshot, coded against its schema.
type Content struct {
	verdicts []byte
	texts    []string // that the verdicts refer to
	values   []byte
	counts   []byte // in native buckets; see counts.go
}

func (c *Content) size() int {
	n := len(c.verdicts) + len(c.counts)
	for _, text := range c.texts {
		n += len(text) + 4
	}
	return n
}

// NewContent codes s, which was taken at made, against a schema that fits it.
// It is an error if a text is one that peers would refuse.
func NewContent(s health.Snapshot, schema *Schema, made time.Time, limits Limits) (Content, error) {
	if len(s.Values) != schema.Width || len(s.Results) != len(schema.Subjects) {
		return Content{}, fmt.Errorf("snapshot of %d values and %d verdicts, for a schema of %d and %d",
			len(s.Values), len(s.Results), schema.Width, len(schema.Subjects))
	}
	verdicts := verdictCoder{coder: newWriter(), limit: limits.TextBytes}
	if err := verdicts.verdicts(schema.Subjects, slices.Clone(s.Results), made); err != nil {
		return Content{}, err
	}
	content := Content{verdicts: verdicts.bytes(), texts: verdicts.texts}
	all := slices.Clone(s.Values)
	values := newValueCoder(newWriter())
	values.values(schema.Series, all)
	content.values = values.bytes()
	if schema.native {
		counts := countCoder{coder: newWriter()}
		counts.counts(schema.Series, all)
		content.counts = counts.bytes()
	}
	return content, nil
}

// Snapshot reads what f says, against its schema. made is when the frame was
// made, on this host's clock: now minus the age it arrived with. A bare frame
// gives verdicts alone: its snapshot has neither schema nor values.
func (f *Frame) Snapshot(schema *Schema, limits Limits, made time.Time) (*health.Snapshot, error) {
	s := &health.Snapshot{Node: f.Node}
	if n := len(schema.Subjects); n > 0 {
		s.Results = make([]health.Result, n)
	}
	for i, subject := range schema.Subjects {
		s.Results[i].Check, s.Results[i].Subject = subject.Check, subject.Subject
	}
	verdicts := verdictCoder{coder: newReader(f.verdicts), received: f.texts, limit: limits.TextBytes}
	if err := verdicts.verdicts(schema.Subjects, s.Results, made); err != nil {
		return nil, fmt.Errorf("frame of %s: %w", f.Node, err)
	}
	if !verdicts.readAll() {
		return nil, fmt.Errorf("frame of %s: more verdicts than the schema has subjects", f.Node)
	}
	if f.Bare {
		return s, nil
	}
	values := newValueCoder(newReader(f.values))
	s.Schema, s.Values = schema.Series, make([]float64, schema.Width)
	values.values(s.Schema, s.Values)
	if !values.readAll() {
		return nil, fmt.Errorf("frame of %s: more values than the schema has series", f.Node)
	}
	if schema.native {
		counts := countCoder{coder: newReader(f.counts)}
		counts.counts(s.Schema, s.Values)
		if !counts.readAll() {
			return nil, fmt.Errorf("frame of %s: more counts than the schema has native buckets", f.Node)
		}
	}
	return s, nil
}
