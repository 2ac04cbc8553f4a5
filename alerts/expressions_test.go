package alerts

import (
	"slices"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/promql"
)

// recorded are the labels of recorded series, by their names.
var recorded = promql.Documented{
	"node:grapevine_node_up:max":                       {"node"},
	"node:grapevine_node_observers:max":                {"node"},
	"node:grapevine_node_observers_reaching:max":       {"node"},
	"node:grapevine_node_maintenance:max":              {"node"},
	"node:grapevine_host_network_loss_ratio:min":       {"node"},
	"node_check:grapevine_check_enabled:max":           {"node", "check"},
	"node_check:grapevine_check_runs_total:max":        {"node", "check"},
	"node_check_subject:grapevine_check_status:max":    {"node", "check", "subject"},
	"node_check_subject:grapevine_check_status:shared": {"node", "check", "subject"},
	"check_subject:grapevine_check_status:median":      {"check", "subject"},
	"check_subject:grapevine_check_status:agreed":      {"check", "subject"},
}

// prometheus are the series that Prometheus makes itself.
var prometheus = promql.Documented{
	"up":     {"job", "instance"},
	"ALERTS": {"alertname", "alertstate", "severity", "node"},
}

// An alert on a name that is not exported never fires, and nobody notices.
func TestExpressionsNameWhatIsExported(t *testing.T) {
	t.Parallel()
	known := promql.Metrics(t).With(recorded).With(prometheus)
	rules := allRules(t)
	exprs := make([]string, len(rules))
	names := map[string]bool{}
	for i, r := range rules {
		exprs[i] = r.Expr
		names[r.Record] = true
	}
	for i, e := range promql.Parse(t, exprs...) {
		for _, fault := range known.Faults(e, "cluster", "job", "instance") {
			t.Errorf("%s%s: %s", rules[i].Record, rules[i].Alert, fault)
		}
		for _, s := range e.Selectors {
			if _, ok := recorded[s.Metric]; ok && !names[s.Metric] {
				t.Errorf("%s%s: nothing records %s", rules[i].Record, rules[i].Alert, s.Metric)
			}
		}
	}
	for _, r := range rules {
		if _, ok := recorded[r.Record]; r.Record != "" && !ok {
			t.Errorf("%s is recorded, and not known to this test", r.Record)
		}
	}
}

// What tells direct and relayed series apart must not come into an alert: it
// would be another one after each change of the node that is scraped.
func TestAlertsRestOnNoTarget(t *testing.T) {
	t.Parallel()
	rules := slices.DeleteFunc(allRules(t), func(r rule) bool { return r.Alert == "GrapevineTargetDown" })
	exprs := make([]string, len(rules))
	for i, r := range rules {
		exprs[i] = r.Expr
	}
	known := promql.Metrics(t)
	for i, e := range promql.Parse(t, exprs...) {
		for _, s := range e.Selectors {
			if _, raw := known[s.Metric]; !raw {
				continue
			}
			aggregated := slices.ContainsFunc(e.Groupings, func(g promql.Grouping) bool {
				return g.Keyword == "by" && slices.Contains(g.Metrics, s.Metric) && slices.Contains(g.Labels, "cluster")
			})
			if !aggregated && s.Metric != "grapevine_check_status" { // absent has no labels
				t.Errorf("%s%s: %s is not aggregated by cluster", rules[i].Record, rules[i].Alert, s.Metric)
			}
		}
	}
}
