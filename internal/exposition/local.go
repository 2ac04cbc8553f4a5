package exposition

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/health"
)

// Local returns a Gatherer that gives what g does, with the label NodeLabel
// set to node on every metric, limited to checks as in Options. It changes
// nothing that g returns, since g may hand out what it keeps.
func Local(g prometheus.Gatherer, node string, checks []string) prometheus.Gatherer {
	sel := selectChecks(checks)
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := g.Gather()
		labelled := make([]*dto.MetricFamily, 0, len(families))
		for _, mf := range families {
			if out := localFamily(mf, node, &sel); len(out.Metric) > 0 {
				labelled = append(labelled, out)
			}
		}
		return labelled, err
	})
}

func localFamily(mf *dto.MetricFamily, node string, sel *selection) *dto.MetricFamily {
	out := &dto.MetricFamily{Name: mf.Name, Help: mf.Help, Type: mf.Type, Unit: mf.Unit}
	scope := sel.family(mf.GetName())
	if scope == nothing {
		return out
	}
	for _, m := range mf.Metric {
		if scope == whole || sel.hasMetric(m) {
			out.Metric = append(out.Metric, &dto.Metric{
				Label: withNode(m.Label, node),
				Gauge: m.Gauge, Counter: m.Counter, Summary: m.Summary, Untyped: m.Untyped, Histogram: m.Histogram,
				TimestampMs: m.TimestampMs,
			})
		}
	}
	return out
}

func withNode(labels []*dto.LabelPair, node string) []*dto.LabelPair {
	name := NodeLabel
	out := make([]*dto.LabelPair, 0, len(labels)+1)
	for _, l := range labels {
		if l.GetName() != NodeLabel {
			out = append(out, l)
		}
	}
	out = append(out, &dto.LabelPair{Name: &name, Value: &node})
	slices.SortFunc(out, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out
}

func (s *selection) hasMetric(m *dto.Metric) bool {
	for _, l := range m.Label {
		if l.GetName() == "check" {
			return s.has(&health.Series{Labels: []health.Label{{Name: l.GetName(), Value: l.GetValue()}}})
		}
	}
	return false
}
