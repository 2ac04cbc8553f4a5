package health

import (
	"cmp"
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// FromFamilies splits gathered metric families into a schema and its values.
// It sorts families and series, and drops the label called drop. Exemplars are
// left out: each is another text with each observation, so it would travel in
// every frame, and what it refers to is on the node itself. Gauge histograms
// are untyped and without value: nothing that we gather makes one.
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
			series, vs := measure(family.Type, m)
			series.Labels = labelsOf(m, drop)
			all = append(all, measured{series, vs})
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

func measure(t Type, m *dto.Metric) (s Series, values []float64) {
	switch t {
	case Counter:
		return s, []float64{m.GetCounter().GetValue()}
	case Gauge:
		return s, []float64{m.GetGauge().GetValue()}
	case Summary:
		summary := m.GetSummary()
		for _, q := range summary.GetQuantile() {
			s.Bounds, values = append(s.Bounds, q.GetQuantile()), append(values, q.GetValue())
		}
		return s, append(values, summary.GetSampleSum(), float64(summary.GetSampleCount()))
	case Histogram:
		h := m.GetHistogram()
		for _, b := range h.GetBucket() {
			if !math.IsInf(b.GetUpperBound(), +1) {
				s.Bounds, values = append(s.Bounds, b.GetUpperBound()), append(values, float64(b.GetCumulativeCount()))
			}
		}
		values = append(values, h.GetSampleSum(), float64(h.GetSampleCount()))
		native, counts := nativeOf(h)
		s.Native = native
		return s, append(values, counts...)
	default:
		return s, []float64{m.GetUntyped().GetValue()}
	}
}
