package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

var (
	metricReloadSuccessful = collectors.Metric{
		Name: "grapevine_config_last_reload_successful", Type: health.Gauge,
		Help: "Whether the last reading of the configuration file was accepted.",
	}
	metricReloadSucceeded = collectors.Metric{
		Name: "grapevine_config_last_reload_success_timestamp_seconds", Type: health.Gauge,
		Help: "When the configuration file was last accepted.",
	}
)

// Metrics lists what the agent exports of itself.
func Metrics() []collectors.Metric {
	return []collectors.Metric{metricReloadSuccessful, metricReloadSucceeded}
}

// reloadMetrics tell whether the configuration file in place is in force.
type reloadMetrics struct{ successful, succeeded prometheus.Gauge }

func newReloadMetrics(r prometheus.Registerer) reloadMetrics {
	gauge := func(m collectors.Metric) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: m.Name, Help: m.Help})
		r.MustRegister(g)
		return g
	}
	return reloadMetrics{gauge(metricReloadSuccessful), gauge(metricReloadSucceeded)}
}

func (m reloadMetrics) done(err error) {
	if err != nil {
		m.successful.Set(0)
		return
	}
	m.successful.Set(1)
	m.succeeded.SetToCurrentTime()
}
