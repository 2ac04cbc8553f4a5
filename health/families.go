package health

import (
	"cmp"
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// FromFamilies splits gathered metric families into a schema and its values.
// It sorts families and series, and drops the label called drop. Native
// histogram buckets and exemplars are left out: what is kept is what every
// exposition format can carry.
func FromFamilies(version, drop string, families []*dto.MetricFamily) (*Schema, []float64) {
	type measured struct {
		series Series
		values []float64
	}
	sorted := slices.SortedFunc(slices.Values(families), func(a, b *dto.MetricFamily) int {
		return cmp.Compare(a.GetName(), b.GetName())
	})
	schema := &Schema{Version: version, Families: make([]Family, 0, len(sorted))}
	var values []float64
	for _, mf := range sorted {
		family := Family{Name: mf.GetName(), Help: mf.GetHelp(), Type: typeOf(mf.GetType())}
		all := make([]measured, 0, len(mf.GetMetric()))
		for _, m := range mf.GetMetric() {
			bounds, vs := measure(family.Type, m)
			all = append(all, measured{Series{Labels: labelsOf(m, drop), Bounds: bounds}, vs})
		}
		slices.SortStableFunc(all, func(a, b measured) int { return CompareLabels(a.series.Labels, b.series.Labels) })
		for _, m := range all {
			family.Series = append(family.Series, m.series)
			values = append(values, m.values...)
		}
		schema.Families = append(schema.Families, family)
	}
	return schema, values
}

// Foreign reports whether a family of that name is none of the agent's own:
// those begin with grapevine_, or are what every Go program exports.
func Foreign(name string) bool {
	for _, own := range ownPrefixes {
		if strings.HasPrefix(name, own) {
			return false
		}
	}
	return true
}

var ownPrefixes = []string{"grapevine_", "go_", "process_"}

func typeOf(t dto.MetricType) Type {
	switch t {
	case dto.MetricType_COUNTER:
		return Counter
	case dto.MetricType_GAUGE:
		return Gauge
	case dto.MetricType_SUMMARY:
		return Summary
	case dto.MetricType_HISTOGRAM:
		return Histogram
	default:
		return Untyped
	}
}

func labelsOf(m *dto.Metric, drop string) []Label {
	var labels []Label
	for _, l := range m.GetLabel() {
		if l.GetName() != drop {
			labels = append(labels, Label{l.GetName(), l.GetValue()})
		}
	}
	slices.SortFunc(labels, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return labels
}

// CompareLabels orders label sets, each sorted by name.
func CompareLabels(a, b []Label) int {
	return slices.CompareFunc(a, b, func(x, y Label) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value))
	})
}

func measure(t Type, m *dto.Metric) (bounds, values []float64) {
	switch t {
	case Counter:
		return nil, []float64{m.GetCounter().GetValue()}
	case Gauge:
		return nil, []float64{m.GetGauge().GetValue()}
	case Summary:
		s := m.GetSummary()
		for _, q := range s.GetQuantile() {
			bounds, values = append(bounds, q.GetQuantile()), append(values, q.GetValue())
		}
		return bounds, append(values, s.GetSampleSum(), float64(s.GetSampleCount()))
	case Histogram:
		h := m.GetHistogram()
		for _, b := range h.GetBucket() {
			if !math.IsInf(b.GetUpperBound(), +1) {
				bounds, values = append(bounds, b.GetUpperBound()), append(values, float64(b.GetCumulativeCount()))
			}
		}
		return bounds, append(values, h.GetSampleSum(), float64(h.GetSampleCount()))
	default:
		return nil, []float64{m.GetUntyped().GetValue()}
	}
}
