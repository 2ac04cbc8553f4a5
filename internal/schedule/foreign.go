package schedule

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// foreign is one series of a family that somebody else made.
type foreign struct {
	desc   *prometheus.Desc
	metric *dto.Metric
}

// Desc is a prometheus.Metric's.
func (f foreign) Desc() *prometheus.Desc { return f.desc }

// Write hands out the parts of the metric, which nobody changes.
func (f foreign) Write(out *dto.Metric) error {
	m := f.metric
	out.Label, out.Gauge, out.Counter, out.Untyped, out.Summary, out.Histogram = m.Label, m.Gauge, m.Counter, m.Untyped, m.Summary, m.Histogram
	return nil
}

// family takes a whole family in, unless there is one of that name already.
func (e *export) family(mf *dto.MetricFamily) {
	name := mf.GetName()
	if _, taken := e.meaning[name]; taken {
		return
	}
	e.meaning[name] = &collectors.Metric{Name: name}
	for _, m := range mf.GetMetric() {
		labels := make([]string, 0, len(m.GetLabel()))
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName())
		}
		e.metrics = append(e.metrics, foreign{prometheus.NewDesc(name, mf.GetHelp(), labels, nil), m})
	}
}
