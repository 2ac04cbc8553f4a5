package dashboards

import (
	"slices"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/promql"
)

// TestQueries holds every query against Prometheus' own parser, and every
// metric and label that it names against docs/metrics.md.
func TestQueries(t *testing.T) {
	t.Parallel()
	var places, exprs []string
	queries(t, func(where, expr string) {
		places, exprs = append(places, where), append(exprs, chosen(expr, "5m"))
	})
	known := promql.Metrics(t)
	for i, e := range promql.Parse(t, exprs...) {
		for _, fault := range known.Faults(e, "cluster") {
			t.Errorf("%s: %s, in %s", places[i], fault, exprs[i])
		}
		if e.Type != "vector" && e.Error == "" {
			t.Errorf("%s is a %s, not a vector", places[i], e.Type)
		}
		for _, s := range e.Selectors {
			if !slices.Contains(s.Labels, "cluster") {
				t.Errorf("%s does not choose the cluster of %s", places[i], s.Metric)
			}
		}
		if len(e.Groupings) == 0 {
			t.Errorf("%s shows a series once for each way by which it is scraped: %s", places[i], exprs[i])
		}
	}
}
