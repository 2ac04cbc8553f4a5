package schedule

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

var (
	metricEnabled = collectors.Metric{
		Name: "grapevine_check_enabled", Type: health.Gauge, Labels: []string{"check"},
		Help: "Whether the check runs on this node.",
	}
	metricStatus = collectors.Metric{
		Name: "grapevine_check_status", Type: health.Gauge, Labels: []string{"check", "subject"},
		Help: "Verdict on the subject: 0 ok, 1 warning, 2 critical, 3 unknown.",
	}
	metricDuration = collectors.Metric{
		Name: "grapevine_check_duration_seconds", Type: health.Gauge, Labels: []string{"check"},
		Help: "How long the last run of the check took.",
	}
	metricDelay = collectors.Metric{
		Name: "grapevine_check_start_delay_seconds", Type: health.Gauge, Labels: []string{"check"},
		Help: "How much later than planned the last run started: the agent's own starvation.",
	}
	metricLastRun = collectors.Metric{
		Name: "grapevine_check_last_run_timestamp_seconds", Type: health.Gauge, Labels: []string{"check"},
		Help: "When the last run of the check finished, by this node's clock.",
	}
	metricRuns = collectors.Metric{
		Name: "grapevine_check_runs_total", Type: health.Counter, Labels: []string{"check"},
		Help: "Runs of the check.",
	}
	metricFailures = collectors.Metric{
		Name: "grapevine_check_failures_total", Type: health.Counter, Labels: []string{"check"},
		Help: "Runs of the check that failed as a whole: an error, a panic, or not finished in time.",
	}
)

var metricMaintenance = collectors.Metric{
	Name: "grapevine_node_maintenance", Type: health.Gauge, Labels: []string{"reason"},
	Help: "Whether bad verdicts are to be expected of the node, and are shown as unknown: it is shutting down, just started, or cordoned.",
}

// Metrics lists what the schedule exports for every check.
func Metrics() []collectors.Metric {
	return []collectors.Metric{metricEnabled, metricStatus, metricDuration, metricDelay, metricLastRun, metricRuns, metricFailures, metricMaintenance}
}

// Describe sends nothing: what checks export differs from run to run.
func (s *Schedule) Describe(chan<- *prometheus.Desc) {}

// Collect sends the samples of every check's last run and what is known of
// the checks themselves.
func (s *Schedule) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, rec := range s.records {
		s.tell(rec.expire(now))
	}
	e, states := newExport(), s.maintained(now)
	for _, m := range collectors.Maintenances {
		e.add(&metricMaintenance, boolean(slices.Contains(states, m)), string(m))
	}
	for name, t := range tallies(s.records) {
		e.tally(name, t)
	}
	for _, rec := range s.records {
		e.record(rec, states)
	}
	for _, m := range e.metrics {
		ch <- m
	}
}

// export gathers const metrics such that no two have the same name and
// labels and no name has two meanings: a registry would refuse them all.
type export struct {
	meaning map[string]*collectors.Metric // the first seen of each name
	series  map[string]int                // position in metrics
	metrics []prometheus.Metric
}

func newExport() *export {
	return &export{meaning: make(map[string]*collectors.Metric), series: make(map[string]int)}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (e *export) record(rec *record, states []collectors.Maintenance) {
	for name, s := range rec.subjects {
		e.add(&metricStatus, float64(excused(s.shown, rec.workload, states).Status), rec.name, name)
	}
	for _, sample := range rec.samples {
		e.add(sample.Metric, sample.Value, sample.Labels...)
	}
	for _, mf := range rec.families {
		e.family(mf)
	}
}

// add takes one value in. Of two values of one series the last counts.
func (e *export) add(m *collectors.Metric, value float64, labels ...string) {
	for i, l := range labels {
		if clean := strings.ToValidUTF8(l, "�"); clean != l {
			labels = append([]string(nil), labels...)
			labels[i] = clean
		}
	}
	first, ok := e.meaning[m.Name]
	if !ok {
		first = m
		e.meaning[m.Name] = m
	}
	valueType := prometheus.GaugeValue
	if first.Type == health.Counter {
		valueType = prometheus.CounterValue
	}
	desc := prometheus.NewDesc(m.Name, first.Help, m.Labels, nil)
	metric, err := prometheus.NewConstMetric(desc, valueType, value, labels...)
	if err != nil {
		return // a wrong number of labels, which Report.Sample refuses
	}
	key := m.Name + "\xff" + strings.Join(m.Labels, "\xff") + "\xff" + strings.Join(labels, "\xff")
	if at, ok := e.series[key]; ok {
		e.metrics[at] = metric
		return
	}
	e.series[key] = len(e.metrics)
	e.metrics = append(e.metrics, metric)
}
