package smoke

import (
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// What the smoke check exports, on the node that makes the runs alone.
var (
	metricStepDuration = collectors.Metric{
		Name: "grapevine_smoke_step_duration_seconds", Type: health.Histogram, Labels: []string{"step"},
		Help:    "Time a step took that was reached, also when it failed.",
		Buckets: []float64{0.1, 0.5, 1, 2, 5, 10, 15},
	}
	metricStepSuccess = collectors.Metric{
		Name: "grapevine_smoke_step_success", Type: health.Gauge, Labels: []string{"step"},
		Help: "Whether the step went well in the last run; 0 also when it was not reached.",
	}
	metricSuccess = collectors.Metric{
		Name: "grapevine_smoke_success", Type: health.Gauge,
		Help: "Whether every step of the last run went well.",
	}
	metricLastRun = collectors.Metric{
		Name: "grapevine_smoke_last_run_timestamp_seconds", Type: health.Gauge,
		Help: "When the last run began, in seconds since the epoch by the node's own clock.",
	}
	metricLastSuccess = collectors.Metric{
		Name: "grapevine_smoke_last_success_timestamp_seconds", Type: health.Gauge,
		Help: "When the last run began in which every step went well; absent before there was one.",
	}
	metricRunDuration = collectors.Metric{
		Name: "grapevine_smoke_run_duration_seconds", Type: health.Gauge,
		Help: "Time the last run took, clearing up included.",
	}
	metricRuns = collectors.Metric{
		Name: "grapevine_smoke_runs_total", Type: health.Counter, Labels: []string{"status"},
		Help: "Runs by the status of their worst step, since this node makes them.",
	}
	metricSkippedRuns = collectors.Metric{
		Name: "grapevine_smoke_skipped_runs_total", Type: health.Counter, Labels: []string{"reason"},
		Help: "Runs that were due and not made, since this node makes them: degraded (what runs need is down), slow (the API server is), leftovers (of earlier runs could not be removed).",
	}
	metricLeftovers = collectors.Metric{
		Name: "grapevine_smoke_leftovers", Type: health.Gauge,
		Help: "Objects of the last run and of earlier ones that were still there after it.",
	}
	metricSwept = collectors.Metric{
		Name: "grapevine_smoke_swept_total", Type: health.Counter,
		Help: "Objects that earlier runs had left and a later one has removed, since this node makes them.",
	}
	metricNodes = collectors.Metric{
		Name: "grapevine_smoke_nodes", Type: health.Gauge, Labels: []string{"state"},
		Help: "Nodes by whether runs can use them: usable, or not covered since they are cordoned, tainted, not_ready, leaving, or of another platform.",
	}
)

func checkMetrics() []collectors.Metric {
	return []collectors.Metric{
		metricStepDuration, metricStepSuccess, metricSuccess, metricLastRun, metricLastSuccess, metricRunDuration,
		metricRuns, metricSkippedRuns, metricLeftovers, metricSwept, metricNodes,
	}
}

// nodeStates are the values of the label state, usable first.
var nodeStates = []string{"usable", "cordoned", "tainted", "not_ready", "leaving", "platform"}

// state is the one of nodeStates that fits.
func (s Skipped) state() string {
	switch {
	case s.Reason == "cordoned":
		return "cordoned"
	case strings.HasPrefix(s.Reason, "tainted "):
		return "tainted"
	case strings.HasPrefix(s.Reason, "not ready"):
		return "not_ready"
	case s.Reason == "being removed":
		return "leaving"
	}
	return "platform"
}

// samples exports what is known of the runs of this node.
func (c *check) samples(r *collectors.Report) {
	for _, status := range []health.Status{health.OK, health.Warning, health.Critical, health.Unknown} {
		r.Sample(&metricRuns, float64(c.counts.runs[status]), status.String())
	}
	for _, reason := range holds {
		r.Sample(&metricSkippedRuns, float64(c.counts.skipped[reason]), reason)
	}
	r.Sample(&metricSwept, float64(c.counts.swept))
	if !c.counts.success.IsZero() {
		r.Sample(&metricLastSuccess, epoch(c.counts.success))
	}
	last := c.last
	if last == nil {
		return
	}
	r.Sample(&metricSuccess, one(last.Status == health.OK))
	r.Sample(&metricLastRun, epoch(last.Began))
	r.Sample(&metricRunDuration, last.Seconds)
	r.Sample(&metricLeftovers, float64(len(last.Leftovers)))
	for _, s := range last.Steps {
		r.Sample(&metricStepSuccess, one(s.Status == health.OK || s.Status == health.Warning), s.Name)
	}
	if last.Usable == 0 && len(last.Skipped) == 0 { // the nodes could not be listed
		return
	}
	nodes := map[string]int{nodeStates[0]: last.Usable}
	for _, s := range last.Skipped {
		nodes[s.state()]++
	}
	for _, state := range nodeStates {
		r.Sample(&metricNodes, float64(nodes[state]), state)
	}
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
