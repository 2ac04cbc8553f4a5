package frame

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
)

// Schema is what frames refer to by hash: the series whose values they carry
// and the subjects whose verdicts they carry.
type Schema struct {
	Hash     Hash   // of the schema's text, before it is coded
	Raw      []byte // a blob: what travels
	Series   *health.Schema
	Width    int  // of Series
	native   bool // some histogram of Series is
	Subjects []Subject

	families []*family // keeps alive what is shared with other schemas
}

// Subject names one result, and what its verdict says most of the time: the
// verdict in the frame says these only where it says otherwise.
type Subject struct {
	Check, Subject string
	Unit           string
	Threshold      float64
	Reason         string
}

const (
	// What a blob with a schema is made of.
	fieldHash  protowire.Number = 5
	fieldBase  protowire.Number = 6 // of the schema it is a change of; none: it is whole
	fieldCoded protowire.Number = 7

	// What a schema is made of.
	fieldProgram protowire.Number = 1 // version of the program
	fieldFamily  protowire.Number = 2
	fieldSubject protowire.Number = 3

	fieldName   protowire.Number = 1
	fieldHelp   protowire.Number = 2
	fieldType   protowire.Number = 3
	fieldSeries protowire.Number = 4

	fieldLabelName  protowire.Number = 1 // name and value alternate
	fieldLabelValue protowire.Number = 2
	fieldBounds     protowire.Number = 3 // decimals with blanks between
	fieldNative     protowire.Number = 4 // see native.go

	fieldSubjectCheck     protowire.Number = 1
	fieldSubjectName      protowire.Number = 2
	fieldSubjectUnit      protowire.Number = 3
	fieldSubjectThreshold protowire.Number = 4 // decimal
	fieldSubjectReason    protowire.Number = 5
)

// NewSchema returns the schema of a snapshot. It checks what ParseSchema does,
// since peers cut off who sends what breaks a rule.
func NewSchema(series *health.Schema, results []health.Result, limits Limits) (*Schema, error) {
	text := encodeSchema(series, results)
	s, err := parseText(text, limits)
	if err != nil {
		return nil, err
	}
	s.Raw = wholeBlob(s.Hash, text)
	if len(s.Raw) > limits.SchemaBytes {
		return nil, tooLarge(s.Raw, limits)
	}
	return s, nil
}

func encodeSchema(series *health.Schema, results []health.Result) []byte {
	text := AppendString(nil, fieldProgram, series.Version)
	for i := range series.Families {
		text = AppendBytes(text, fieldFamily, encodeFamily(&series.Families[i]))
	}
	for _, r := range results {
		text = AppendBytes(text, fieldSubject, encodeSubject(r))
	}
	return text
}

// Fits reports whether snapshots can be coded against the schema: whether
// their series and the names of their subjects are its own.
func (s *Schema) Fits(snapshot *health.Snapshot) bool {
	return s.Series.Version == snapshot.Schema.Version &&
		slices.EqualFunc(s.Subjects, snapshot.Results, func(a Subject, r health.Result) bool {
			return a.Check == r.Check && a.Subject == r.Subject
		}) &&
		slices.EqualFunc(s.Series.Families, snapshot.Schema.Families, func(a, b health.Family) bool {
			return a.Name == b.Name && a.Help == b.Help && a.Type == b.Type &&
				slices.EqualFunc(a.Series, b.Series, func(a, b health.Series) bool {
					return slices.Equal(a.Labels, b.Labels) && slices.EqualFunc(a.Bounds, b.Bounds, sameBits) &&
						(a.Native == b.Native || a.Native.Equal(b.Native))
				})
		})
}

func sameBits(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

func encodeFamily(f *health.Family) []byte {
	b := AppendString(nil, fieldName, f.Name)
	b = AppendString(b, fieldHelp, f.Help)
	b = AppendUint(b, fieldType, uint64(f.Type))
	for _, series := range f.Series {
		var m []byte
		for _, l := range series.Labels {
			m = AppendString(m, fieldLabelName, l.Name)
			m = AppendString(m, fieldLabelValue, l.Value)
		}
		if len(series.Bounds) > 0 {
			var bounds []byte
			for i, bound := range series.Bounds {
				if i > 0 {
					bounds = append(bounds, ' ')
				}
				bounds = strconv.AppendFloat(bounds, bound, 'g', -1, 64)
			}
			m = AppendBytes(m, fieldBounds, bounds)
		}
		if series.Native != nil {
			m = AppendBytes(m, fieldNative, encodeNative(series.Native))
		}
		b = AppendBytes(b, fieldSeries, m)
	}
	return b
}

func encodeSubject(r health.Result) []byte {
	m := AppendString(nil, fieldSubjectCheck, r.Check)
	m = AppendString(m, fieldSubjectName, r.Subject)
	if r.Evidence.Unit != "" {
		m = AppendString(m, fieldSubjectUnit, r.Evidence.Unit)
		m = AppendBytes(m, fieldSubjectThreshold, strconv.AppendFloat(nil, r.Evidence.Threshold, 'g', -1, 64))
	}
	if r.Reason != "" {
		m = AppendString(m, fieldSubjectReason, r.Reason)
	}
	return m
}

func tooLarge(raw []byte, limits Limits) error {
	return fmt.Errorf("schema of %d bytes, allowed are %d", len(raw), limits.SchemaBytes)
}

func wholeBlob(h Hash, text []byte) []byte {
	return AppendBytes(AppendBytes(nil, fieldHash, h[:]), fieldCoded, writeText(nil, text))
}

// Patch returns s as a blob for those who hold base: the change alone.
func (s *Schema) Patch(base *Schema) ([]byte, error) {
	from, err := base.text()
	if err != nil {
		return nil, err
	}
	to, err := s.text()
	if err != nil {
		return nil, err
	}
	b := AppendBytes(nil, fieldHash, s.Hash[:])
	b = AppendBytes(b, fieldBase, base.Hash[:])
	return AppendBytes(b, fieldCoded, writeText(from, to)), nil
}

// text is the schema before it was coded.
func (s *Schema) text() ([]byte, error) {
	head, err := ParseBlob(s.Raw)
	if err != nil {
		return nil, err
	}
	return readText(nil, head.coded, math.MaxInt32)
}

// Blob is the head of a schema's blob: what it claims to be.
type Blob struct {
	Hash  Hash
	Base  Hash // of the schema that must be held to read it; zero: none
	coded []byte
}

// ParseBlob reads the head of a schema's blob. What is no such blob is an
// error: identities come among them.
func ParseBlob(raw []byte) (b Blob, err error) {
	err = Fields(raw, func(n protowire.Number, v Value) error {
		switch n {
		case fieldHash:
			return v.hash(&b.Hash)
		case fieldBase:
			return v.hash(&b.Base)
		case fieldCoded:
			b.coded = v.Bytes
		}
		return nil
	})
	if err == nil && b.Hash == (Hash{}) {
		err = errors.New("not a schema")
	}
	return b, err
}

// maxGrowth is how many times larger a schema may be than its coded form is
// allowed to be.
const maxGrowth = 10

// ParseSchema reads a schema from its blob, and checks that it is what it
// claims, keeps to limits and can be shown: names, labels and their order.
// base is the schema that a change is of; it is not used for a whole one.
func ParseSchema(raw []byte, base *Schema, limits Limits) (*Schema, error) {
	if len(raw) > limits.SchemaBytes {
		return nil, tooLarge(raw, limits)
	}
	blob, err := ParseBlob(raw)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	var from []byte
	if blob.Base != (Hash{}) {
		if base == nil || base.Hash != blob.Base {
			return nil, errors.New("schema: a change of another one than is held")
		}
		if from, err = base.text(); err != nil {
			return nil, fmt.Errorf("schema: %w", err)
		}
	}
	text, err := readText(from, blob.coded, maxGrowth*limits.SchemaBytes)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if Sum(text) != blob.Hash {
		return nil, errors.New("schema: not what its hash says")
	}
	s, err := parseText(text, limits)
	if err != nil {
		return nil, err
	}
	s.Raw = raw
	if from != nil {
		if s.Raw = wholeBlob(s.Hash, text); len(s.Raw) > limits.SchemaBytes {
			return nil, tooLarge(s.Raw, limits)
		}
	}
	return s, nil
}
