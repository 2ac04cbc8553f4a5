package fleet

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/grapevine-mesh/grapevine/health"
)

// layout is the series of one node, before its subjects have names.
type layout struct {
	families []laidFamily // sorted by name
}

type laidFamily struct {
	entry
	own    bool     // the subjects are the node's own
	series []series // in the order in which they were taken
}

// series is one label set: the nth subject, and one of the entry's values.
type series struct {
	subject int
	value   string // empty when the entry has none
}

// lay takes series from the catalogue until they are samples lines of text, of
// which ownSamples are from own. What is left when a histogram does not fit is
// filled with families of one line a series.
func lay(samples, ownSamples int) layout {
	l := layout{}
	l.take(own, ownSamples, true)
	l.take(common, samples-ownSamples, false)
	slices.SortFunc(l.families, func(a, b laidFamily) int { return cmp.Compare(a.name, b.name) })
	return l
}

func (l *layout) take(from []entry, samples int, own bool) {
	families := make([]laidFamily, len(from))
	for i, e := range from {
		families[i] = laidFamily{entry: e, own: own}
	}
	left := samples
	for subject := 0; left > 0; subject++ {
		for i := range families {
			f := &families[i]
			for _, value := range f.labelValues() {
				if w := f.samplesPerSeries(); w <= left {
					f.series = append(f.series, series{subject, value})
					left -= w
				}
			}
		}
	}
	for _, f := range families {
		if len(f.series) > 0 {
			l.families = append(l.families, f)
		}
	}
}

func (e *entry) labelValues() []string {
	if len(e.values) == 0 {
		return []string{""}
	}
	return e.values
}

// samplesPerSeries is how many lines of text a series takes. A histogram has
// one more bucket, +Inf, than bounds.
func (e *entry) samplesPerSeries() int {
	if e.behaviour == latencies {
		return len(latencyBounds) + 3
	}
	return 1
}

// schema gives the families a node's subjects. Families of common subjects are
// taken from shared, if that is not nil, with all their memory: that is how
// nodes whose schemas differ hold what does not.
func (l *layout) schema(node int, shared *health.Schema) *health.Schema {
	s := &health.Schema{Version: "1.0.0", Families: make([]health.Family, 0, len(l.families))}
	for i, f := range l.families {
		if shared != nil && !f.own {
			s.Families = append(s.Families, shared.Families[i])
			continue
		}
		family := health.Family{Name: f.name, Help: f.help, Type: f.behaviour.kind()}
		for _, one := range f.series {
			family.Series = append(family.Series, f.named(one, node))
		}
		slices.SortFunc(family.Series, func(a, b health.Series) int { return health.CompareLabels(a.Labels, b.Labels) })
		s.Families = append(s.Families, family)
	}
	return s
}

// named is the series with its labels.
func (f *laidFamily) named(one series, node int) health.Series {
	subject := fmt.Sprintf("%s-%d", f.subject, one.subject)
	if f.own {
		// An address that no other node names: its own number is in it.
		subject = fmt.Sprintf("10.%d.%d.1:%d", node>>8, node&0xff, 7997+one.subject)
	}
	s := health.Series{Labels: []health.Label{{Name: f.subject, Value: subject}}}
	if f.label != "" {
		s.Labels = append(s.Labels, health.Label{Name: f.label, Value: one.value})
	}
	slices.SortFunc(s.Labels, func(a, b health.Label) int { return cmp.Compare(a.Name, b.Name) })
	if f.behaviour == latencies {
		s.Bounds = latencyBounds
	}
	return s
}
