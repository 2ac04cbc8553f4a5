package agent

import "github.com/prometheus/client_golang/prometheus"

// reloadMetrics tell whether the configuration file in place is in force.
type reloadMetrics struct {
	successful prometheus.Gauge
	succeeded  prometheus.Gauge
}

func newReloadMetrics(r prometheus.Registerer) reloadMetrics {
	m := reloadMetrics{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "grapevine_config_last_reload_successful", Help: "Whether the last reading of the configuration file was accepted.",
		}),
		succeeded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "grapevine_config_last_reload_success_timestamp_seconds", Help: "When the configuration file was last accepted.",
		}),
	}
	r.MustRegister(m.successful, m.succeeded)
	return m
}

func (m reloadMetrics) done(err error) {
	if err != nil {
		m.successful.Set(0)
		return
	}
	m.successful.Set(1)
	m.succeeded.SetToCurrentTime()
}
