package frame

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unique"
	"weak"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
)

// family is a metric family as all schemas that have it share it: most nodes
// differ from each other in a few families only.
type family struct {
	health.Family
	series  int  // and buckets
	native  bool // some histogram is
	longest int  // text, in bytes
	texts   []unique.Handle[string]
}

// families finds those in use by the hash of their bytes. It keeps none alive.
var families = struct {
	sync.Mutex
	of map[Hash]weak.Pointer[family]
}{of: map[Hash]weak.Pointer[family]{}}

// sharedFamily reads a family, or finds it among those in use.
func sharedFamily(b []byte, limits Limits) (*family, error) {
	h := Sum(b)
	families.Lock()
	f := families.of[h].Value()
	families.Unlock()
	if f != nil && f.longest <= limits.TextBytes && f.series <= limits.Series {
		return f, nil
	}
	f, err := parseFamily(b, limits)
	if err != nil {
		return nil, err
	}
	families.Lock()
	defer families.Unlock()
	if held := families.of[h].Value(); held != nil {
		return held, nil
	}
	families.of[h] = weak.Make(f)
	runtime.AddCleanup(f, dropFamily, h)
	return f, nil
}

// dropFamily forgets a family that nobody uses any more.
func dropFamily(h Hash) {
	families.Lock()
	defer families.Unlock()
	if families.of[h].Value() == nil { // else it has come again meanwhile
		delete(families.of, h)
	}
}

// familyParser reads one family. Texts are shared with other families.
type familyParser struct {
	limits Limits
	family *family
	labels []health.Label // of all series, one after the other
	bounds map[string][]float64
}

func parseFamily(b []byte, limits Limits) (*family, error) {
	p := familyParser{limits: limits, family: &family{}}
	var ends []int
	f := &p.family.Family
	err := Fields(b, func(n protowire.Number, v Value) (err error) {
		switch n {
		case fieldName:
			f.Name, err = p.text(v)
		case fieldHelp:
			f.Help, err = p.text(v)
		case fieldType:
			if v.Uint > uint64(health.Histogram) {
				return fmt.Errorf("family %s of unknown type %d", f.Name, v.Uint)
			}
			f.Type = health.Type(v.Uint)
		case fieldSeries:
			if err := p.count(1); err != nil {
				return err
			}
			s, err := p.seriesOf(v.Bytes)
			if err != nil {
				return fmt.Errorf("family %s: %w", f.Name, err)
			}
			f.Series, ends = append(f.Series, s), append(ends, len(p.labels))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if !validName(f.Name, true) {
		return nil, fmt.Errorf("family name %q cannot be shown", f.Name)
	}
	if p.family.native && f.Type != health.Histogram {
		return nil, fmt.Errorf("family %s: native buckets of a %v", f.Name, f.Type)
	}
	f.Series, p.labels, p.family.texts = slices.Clip(f.Series), slices.Clip(p.labels), slices.Clip(p.family.texts)
	start := 0
	for i, end := range ends {
		if end > start { // a series without labels has none, rather than no labels
			f.Series[i].Labels = p.labels[start:end:end]
		}
		start = end
		if i > 0 && health.CompareLabels(f.Series[i-1].Labels, f.Series[i].Labels) >= 0 {
			return nil, fmt.Errorf("family %s: series out of order", f.Name)
		}
	}
	return p.family, nil
}

func (p *familyParser) text(v Value) (string, error) {
	s, err := v.text(p.limits.TextBytes)
	if err != nil {
		return "", err
	}
	h := unique.Make(s)
	if !slices.Contains(p.family.texts[max(0, len(p.family.texts)-8):], h) { // it is held already
		p.family.texts = append(p.family.texts, h)
	}
	p.family.longest = max(p.family.longest, len(s))
	return h.Value(), nil
}

// count counts series; a bucket is one to whoever stores it.
func (p *familyParser) count(n int) error {
	if p.family.series += n; p.family.series > p.limits.Series {
		return tooMany(p.family.Name, p.limits)
	}
	return nil
}

func tooMany(name string, limits Limits) error {
	return fmt.Errorf("more than %d series and buckets, the first one too many is of %s", limits.Series, name)
}

// seriesOf reads one series; its labels go to the end of p.labels.
func (p *familyParser) seriesOf(b []byte) (s health.Series, err error) {
	start := len(p.labels)
	err = Fields(b, func(n protowire.Number, v Value) (err error) {
		switch n {
		case fieldLabelName:
			name, err := p.text(v)
			if err != nil {
				return err
			}
			if !validName(name, false) || name == "node" {
				return fmt.Errorf("label name %q is not for a series to have", name)
			}
			p.labels = append(p.labels, health.Label{Name: name})
		case fieldLabelValue:
			text, err := p.text(v)
			if err != nil || len(p.labels) == start {
				return cmp.Or(err, fmt.Errorf("label value without a name"))
			}
			p.labels[len(p.labels)-1].Value = text
		case fieldBounds:
			s.Bounds, err = p.boundsOf(string(v.Bytes))
		case fieldNative:
			s.Native, err = p.nativeOf(v.Bytes)
		}
		return err
	})
	labels := p.labels[start:]
	if err == nil && !slices.IsSortedFunc(labels, func(a, b health.Label) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), -1) // a name twice is out of order too
	}) {
		err = fmt.Errorf("labels out of order")
	}
	return s, err
}

// boundsOf reads the bounds of a series, which most often are those of the
// series before.
func (p *familyParser) boundsOf(text string) ([]float64, error) {
	if held, ok := p.bounds[text]; ok {
		return held, p.count(len(held))
	}
	var bounds []float64
	for word := range strings.FieldsSeq(text) {
		if err := p.count(1); err != nil {
			return nil, err
		}
		bound, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return nil, fmt.Errorf("bound %.40q is not a number", word)
		}
		bounds = append(bounds, bound)
	}
	if p.bounds == nil {
		p.bounds = map[string][]float64{}
	}
	p.bounds[text] = slices.Clip(bounds)
	return p.bounds[text], nil
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
