package frame

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
)

// Schema is what frames refer to by hash: the series whose values they carry
// and the subjects whose verdicts they carry.
type Schema struct {
	Hash     Hash
	Raw      []byte // zstd; what travels
	Series   *health.Schema
	Subjects []Subject
}

// Subject names one result; its verdict is in the frame.
type Subject struct{ Check, Subject, Unit string }

const (
	fieldProgram protowire.Number = 1 // version of the program
	fieldFamily  protowire.Number = 2
	fieldSubject protowire.Number = 3

	fieldName   protowire.Number = 1
	fieldHelp   protowire.Number = 2
	fieldType   protowire.Number = 3
	fieldSeries protowire.Number = 4

	fieldLabelName  protowire.Number = 1 // name and value alternate
	fieldLabelValue protowire.Number = 2
	fieldBounds     protowire.Number = 3 // numbers, one after the other

	fieldSubjectCheck protowire.Number = 1
	fieldSubjectName  protowire.Number = 2
	fieldSubjectUnit  protowire.Number = 3
)

// NewSchema encodes the schema of a snapshot and its subjects.
func NewSchema(series *health.Schema, results []health.Result) *Schema {
	s := &Schema{Series: series}
	b := appendString(nil, fieldProgram, series.Version)
	for i := range series.Families {
		b = appendBytes(b, fieldFamily, encodeFamily(&series.Families[i]))
	}
	for _, r := range results {
		subject := Subject{r.Check, r.Subject, r.Evidence.Unit}
		s.Subjects = append(s.Subjects, subject)
		m := appendString(nil, fieldSubjectCheck, subject.Check)
		m = appendString(m, fieldSubjectName, subject.Subject)
		m = appendString(m, fieldSubjectUnit, subject.Unit)
		b = appendBytes(b, fieldSubject, m)
	}
	s.Raw = compress(b)
	s.Hash = Sum(s.Raw)
	return s
}

func encodeFamily(f *health.Family) []byte {
	b := appendString(nil, fieldName, f.Name)
	b = appendString(b, fieldHelp, f.Help)
	b = appendUint(b, fieldType, uint64(f.Type))
	for _, series := range f.Series {
		var m []byte
		for _, l := range series.Labels {
			m = appendString(m, fieldLabelName, l.Name)
			m = appendString(m, fieldLabelValue, l.Value)
		}
		if len(series.Bounds) > 0 {
			var bounds []byte
			for _, bound := range series.Bounds {
				bounds = appendNumber(bounds, bound)
			}
			m = appendBytes(m, fieldBounds, bounds)
		}
		b = appendBytes(b, fieldSeries, m)
	}
	return b
}

// ParseSchema reads a schema and checks that it keeps to limits and that
// everything in it can be shown: names, labels and their order.
func ParseSchema(raw []byte, limits Limits) (*Schema, error) {
	if len(raw) > limits.SchemaBytes {
		return nil, fmt.Errorf("schema of %d bytes, allowed are %d", len(raw), limits.SchemaBytes)
	}
	b, err := inflate(raw)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	p := schemaParser{limits: limits, out: &Schema{Hash: Sum(raw), Raw: raw, Series: &health.Schema{}}}
	if err := Fields(b, p.field); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return p.out, nil
}

type schemaParser struct {
	limits Limits
	out    *Schema
	series int
}

func (p *schemaParser) field(n protowire.Number, v Value) (err error) {
	switch n {
	case fieldProgram:
		p.out.Series.Version, err = v.text(p.limits.TextBytes)
	case fieldFamily:
		var f health.Family
		if f, err = p.family(v.Bytes); err != nil {
			return err
		}
		families := p.out.Series.Families
		if len(families) > 0 && families[len(families)-1].Name >= f.Name {
			return fmt.Errorf("family %s out of order", f.Name)
		}
		p.out.Series.Families = append(families, f)
	case fieldSubject:
		if len(p.out.Subjects) == p.limits.Results {
			return fmt.Errorf("more than %d results", p.limits.Results)
		}
		var s Subject
		err = Fields(v.Bytes, func(n protowire.Number, v Value) (err error) {
			switch n {
			case fieldSubjectCheck:
				s.Check, err = v.text(p.limits.TextBytes)
			case fieldSubjectName:
				s.Subject, err = v.text(p.limits.TextBytes)
			case fieldSubjectUnit:
				s.Unit, err = v.text(p.limits.TextBytes)
			}
			return err
		})
		p.out.Subjects = append(p.out.Subjects, s)
	}
	return err
}

func (p *schemaParser) family(b []byte) (f health.Family, err error) {
	err = Fields(b, func(n protowire.Number, v Value) (err error) {
		switch n {
		case fieldName:
			f.Name, err = v.text(p.limits.TextBytes)
		case fieldHelp:
			f.Help, err = v.text(p.limits.TextBytes)
		case fieldType:
			if v.Uint > uint64(health.Histogram) {
				return fmt.Errorf("family %s of unknown type %d", f.Name, v.Uint)
			}
			f.Type = health.Type(v.Uint)
		case fieldSeries:
			if p.series++; p.series > p.limits.Series {
				return fmt.Errorf("more than %d series, the first one too many is of %s", p.limits.Series, f.Name)
			}
			var s health.Series
			if s, err = p.seriesOf(v.Bytes); err != nil {
				return fmt.Errorf("family %s: %w", f.Name, err)
			}
			if len(f.Series) > 0 && health.CompareLabels(f.Series[len(f.Series)-1].Labels, s.Labels) >= 0 {
				return fmt.Errorf("family %s: series out of order", f.Name)
			}
			f.Series = append(f.Series, s)
		}
		return err
	})
	if err == nil && !validName(f.Name, true) {
		err = fmt.Errorf("family name %q cannot be shown", f.Name)
	}
	return f, err
}

func (p *schemaParser) seriesOf(b []byte) (s health.Series, err error) {
	err = Fields(b, func(n protowire.Number, v Value) error {
		switch n {
		case fieldLabelName:
			name, err := v.text(p.limits.TextBytes)
			if err != nil {
				return err
			}
			if !validName(name, false) || name == "node" {
				return fmt.Errorf("label name %q is not for a series to have", name)
			}
			s.Labels = append(s.Labels, health.Label{Name: name})
		case fieldLabelValue:
			text, err := v.text(p.limits.TextBytes)
			if err != nil || len(s.Labels) == 0 {
				return cmp.Or(err, fmt.Errorf("label value without a name"))
			}
			s.Labels[len(s.Labels)-1].Value = text
		case fieldBounds:
			for b := v.Bytes; len(b) > 0; {
				bound, n, err := consumeNumber(b)
				if err != nil {
					return err
				}
				// A bucket is a series to whoever stores it.
				if p.series++; p.series > p.limits.Series {
					return fmt.Errorf("more than %d series and buckets", p.limits.Series)
				}
				s.Bounds, b = append(s.Bounds, bound), b[n:]
			}
		}
		return nil
	})
	if err == nil && !slices.IsSortedFunc(s.Labels, func(a, b health.Label) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), -1) // a name twice is out of order too
	}) {
		err = fmt.Errorf("labels out of order")
	}
	return s, err
}

// validName holds names to what every exposition format and every version of
// Prometheus takes without quoting.
func validName(s string, colon bool) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || colon && c == ':'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
