package frame

import (
	"fmt"
	"slices"
	"strconv"
	"unique"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
)

// parseText reads the text of a schema.
func parseText(text []byte, limits Limits) (*Schema, error) {
	p := schemaParser{limits: limits, out: &Schema{Hash: Sum(text), Series: &health.Schema{}}}
	if err := Fields(text, p.field); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	s := p.out
	s.Series.Families, s.Subjects, s.families = slices.Clip(s.Series.Families), slices.Clip(s.Subjects), slices.Clip(s.families)
	s.Width = s.Series.Width()
	return s, nil
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
		err = p.family(v.Bytes)
	case fieldSubject:
		if len(p.out.Subjects) == p.limits.Results {
			return fmt.Errorf("more than %d results", p.limits.Results)
		}
		var s Subject
		s, err = p.subject(v.Bytes)
		p.out.Subjects = append(p.out.Subjects, s)
	}
	return err
}

func (p *schemaParser) family(b []byte) error {
	f, err := sharedFamily(b, p.limits)
	if err != nil {
		return err
	}
	if p.series += f.series; p.series > p.limits.Series {
		return tooMany(f.Name, p.limits)
	}
	families := p.out.Series.Families
	if len(families) > 0 && families[len(families)-1].Name >= f.Name {
		return fmt.Errorf("family %s out of order", f.Name)
	}
	p.out.Series.Families = append(families, f.Family)
	p.out.families = append(p.out.families, f)
	p.out.native = p.out.native || f.native
	return nil
}

func (p *schemaParser) subject(b []byte) (s Subject, err error) {
	err = Fields(b, func(n protowire.Number, v Value) (err error) {
		switch n {
		case fieldSubjectCheck:
			s.Check, err = p.text(v)
		case fieldSubjectName:
			s.Subject, err = p.text(v)
		case fieldSubjectUnit:
			s.Unit, err = p.text(v)
		case fieldSubjectReason:
			s.Reason, err = p.text(v)
		case fieldSubjectThreshold:
			if s.Threshold, err = strconv.ParseFloat(string(v.Bytes), 64); err != nil {
				err = fmt.Errorf("threshold %.40q is not a number", v.Bytes)
			}
		}
		return err
	})
	return s, err
}

// text shares s with the labels of the same text, if some family keeps it.
func (p *schemaParser) text(v Value) (string, error) {
	s, err := v.text(p.limits.TextBytes)
	if err != nil {
		return "", err
	}
	return unique.Make(s).Value(), nil
}
