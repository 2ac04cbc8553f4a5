package exposition

import (
	"cmp"
	"math"
	"slices"

	"github.com/grapevine-mesh/grapevine/health"
)

// template is all of a family that stays the same from one snapshot to the
// next, in one format. It is made once and shared by all nodes whose schemas
// have the family with these series: only the node's name and the values are
// left to fill in.
type template struct {
	*health.Family
	kind     health.Type
	width    int  // of its values
	complete bool // false: series were left out for their form
	body     body
}

// body is the series of a template.
type body interface {
	// append renders those that only has, all without it. values are the
	// family's.
	append(dst []byte, n *shown, values []float64, only *selection) []byte
	// typical is about how many bytes append appends.
	typical() int
}

// newTemplate lays out a family; nil when nothing of it can be shown. What
// would make the answer unreadable, such as a malformed name or a series told
// twice, is left out: schemas come from other nodes, and one bad peer must not
// blind everybody.
func newTemplate(family *health.Family, f Format) *template {
	if !validMetricName(family.Name) {
		return nil
	}
	t := &template{Family: family, kind: typeOf(family.Type), complete: true}
	seen := make(map[string]bool, len(family.Series))
	var shown []placedSeries
	value := 0
	for i := range family.Series {
		series := &family.Series[i]
		labels, ok := labelsOf(series, t.kind)
		if key := labelKey(labels); ok && !seen[key] {
			seen[key] = true
			shown = append(shown, placedSeries{series, labels, i, value})
		} else {
			t.complete = false
		}
		value += series.Width(family.Type)
	}
	t.width = value
	if len(shown) == 0 {
		return nil
	}
	body, all := f.body(t, shown)
	if body == nil {
		return nil
	}
	t.body, t.complete = body, t.complete && all
	return t
}

// placedSeries is a series that is fit to be shown.
type placedSeries struct {
	*health.Series
	labels []health.Label // sorted by name, without NodeLabel
	index  int            // in the family's series
	value  int            // index of its first value in the family's values
}

// labelsOf returns the labels of a series, sorted and without the node's, and
// whether they and its bounds are well formed.
func labelsOf(series *health.Series, kind health.Type) ([]health.Label, bool) {
	sorted := slices.Clone(series.Labels)
	slices.SortStableFunc(sorted, func(a, b health.Label) int { return cmp.Compare(a.Name, b.Name) })
	sorted = slices.DeleteFunc(sorted, func(l health.Label) bool { return l.Name == NodeLabel }) // ours wins
	for i, l := range sorted {
		if i > 0 && l.Name == sorted[i-1].Name || !validLabelName(l.Name) ||
			kind == health.Histogram && l.Name == "le" || kind == health.Summary && l.Name == "quantile" {
			return nil, false
		}
		sorted[i].Value = validText(l.Value)
	}
	for i, b := range series.Bounds {
		if math.IsNaN(b) || math.IsInf(b, +1) || i > 0 && b <= series.Bounds[i-1] {
			return nil, false
		}
	}
	return sorted, true
}

// labelKey tells label sets apart.
func labelKey(labels []health.Label) string {
	var key []byte
	for _, l := range labels {
		key = append(append(append(append(key, l.Name...), 0), l.Value...), 0xff)
	}
	return string(key)
}

// typeOf maps a type that a newer version may know to one that we know.
func typeOf(t health.Type) health.Type {
	if t > health.Histogram {
		return health.Untyped
	}
	return t
}
