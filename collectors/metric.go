package collectors

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
)

// Metric describes one metric family of a check. docs/metrics.md is
// generated from these.
type Metric struct {
	Name    string // with the prefix grapevine_ and the unit
	Help    string
	Type    health.Type // Gauge, Counter or Histogram
	Labels  []string
	Buckets []float64 // of a histogram: upper bounds, without +Inf
}

// Desc is the client library's form of m.
func (m *Metric) Desc() *prometheus.Desc {
	return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
}

// Histogram returns the histogram that m describes, registered with reg. A
// check that is built anew on reload goes on with the histogram it had.
//
// It is no native histogram: that would cost 7 to 10 bytes of every frame for
// each series, and a check knows which bounds matter to its verdicts.
func (m *Metric) Histogram(reg prometheus.Registerer) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: m.Buckets}, m.Labels)
	if err := reg.Register(h); err != nil {
		var already prometheus.AlreadyRegisteredError
		if errors.As(err, &already) {
			return already.ExistingCollector.(*prometheus.HistogramVec)
		}
		panic(err) // two descriptions of one name: a bug that any test finds
	}
	return h
}
