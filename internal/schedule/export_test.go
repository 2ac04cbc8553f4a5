package schedule

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// gather returns the number of series of each family.
func gather(t *testing.T, s *Schedule) map[string]int {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, f := range families {
		n[f.GetName()] = len(f.GetMetric())
	}
	return n
}

func TestExport(t *testing.T) {
	other := collectors.Metric{Name: heat.Name, Help: "Another word for it.", Type: health.Counter, Labels: heat.Labels}
	one := &scripted{name: "one", do: func(_ context.Context, n int, r *collectors.Report) error {
		time.Sleep(250 * time.Millisecond)
		r.Verdict("a", health.OK, "", health.Evidence{})
		r.Sample(&heat, 1, "a")
		r.Sample(&heat, 2, "a")
		r.Sample(&heat, 3, "b\xff")
		r.Sample(&other, 4, "c")
		if n == 2 {
			panic("second")
		}
		return nil
	}}
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		pass(6 * time.Second)
		want := `
# HELP grapevine_check_duration_seconds How long the last run of the check took.
# TYPE grapevine_check_duration_seconds gauge
grapevine_check_duration_seconds{check="one"} 0.25
# HELP grapevine_check_enabled Whether the check runs on this node.
# TYPE grapevine_check_enabled gauge
grapevine_check_enabled{check="one"} 1
grapevine_check_enabled{check="two"} 0
# HELP grapevine_check_failures_total Runs of the check that failed as a whole: an error, a panic, or not finished in time.
# TYPE grapevine_check_failures_total counter
grapevine_check_failures_total{check="one"} 1
# HELP grapevine_check_last_run_timestamp_seconds When the last run of the check finished, by this node's clock.
# TYPE grapevine_check_last_run_timestamp_seconds gauge
grapevine_check_last_run_timestamp_seconds{check="one"} 9.4668480525e+08
# HELP grapevine_check_runs_total Runs of the check.
# TYPE grapevine_check_runs_total counter
grapevine_check_runs_total{check="one"} 2
# HELP grapevine_check_start_delay_seconds How much later than planned the last run started: the agent's own starvation.
# TYPE grapevine_check_start_delay_seconds gauge
grapevine_check_start_delay_seconds{check="one"} 0
# HELP grapevine_check_status Verdict on the subject: 0 ok, 1 warning, 2 critical, 3 unknown.
# TYPE grapevine_check_status gauge
grapevine_check_status{check="one",subject="a"} 0
grapevine_check_status{check="one",subject="run"} 3
# HELP grapevine_heat_celsius Heat.
# TYPE grapevine_heat_celsius gauge
grapevine_heat_celsius{device="a"} 2
grapevine_heat_celsius{device="b�"} 3
grapevine_heat_celsius{device="c"} 4
# HELP grapevine_node_maintenance Whether bad verdicts are to be expected of the node, and are shown as unknown: it is shutting down, just started, or cordoned.
# TYPE grapevine_node_maintenance gauge
grapevine_node_maintenance{reason="cordoned"} 0
grapevine_node_maintenance{reason="just started"} 0
grapevine_node_maintenance{reason="shutting down"} 0
`
		if err := testutil.CollectAndCompare(s, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		// A reload keeps the counters, and a check that is off keeps no more.
		s.Replace(nil)
		n := gather(t, s)
		if n["grapevine_check_runs_total"] != 1 || n["grapevine_check_status"] != 0 || n[heat.Name] != 0 {
			t.Errorf("families after the check was turned off: %v", n)
		}
	}, one)
}

func TestEveryMetricIsListed(t *testing.T) {
	listed := map[string]bool{}
	for _, m := range Metrics() {
		listed[m.Name] = true
	}
	one := &scripted{name: "one", do: says(health.OK)}
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		pass(time.Second)
		for name := range gather(t, s) {
			if !listed[name] && name != heat.Name {
				t.Errorf("%s is exported but not in Metrics()", name)
			}
			delete(listed, name)
		}
		if len(listed) > 0 {
			t.Errorf("in Metrics() but not exported: %v", listed)
		}
	}, one)
}

func TestDescribeSendsNothing(t *testing.T) {
	ch := make(chan *prometheus.Desc, 1)
	New(Config{Logger: log.NewNopLogger()}).Describe(ch)
	if len(ch) != 0 {
		t.Error("the schedule is an unchecked collector")
	}
}
