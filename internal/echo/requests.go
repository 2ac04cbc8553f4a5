package echo

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// outcome is what became of a request.
type outcome int

const (
	outcomeAnswered  outcome = iota
	outcomeMalformed         // none of ours
	outcomeUnsigned          // signed with another key, or with none
	outcomeLimited           // one source asked too much
	outcomeUnsent            // the kernel did not take the answer
)

var outcomes = [...]string{"answered", "malformed", "unsigned", "limited", "unsent"}

// requests counts what a responder was asked.
type requests struct {
	udp, tcp [len(outcomes)]prometheus.Counter
	waited   prometheus.Histogram
}

func newRequests(registry prometheus.Registerer) requests {
	auto := promauto.With(registry)
	total := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "grapevine_echo_requests_total",
		Help: "Requests to this node's echo responder, by what became of them: answered, malformed, unsigned (another key), limited (one source asked too much), unsent.",
	}, []string{"protocol", "outcome"})
	var r requests
	for i, name := range outcomes {
		r.udp[i] = total.WithLabelValues("udp", name)
		r.tcp[i] = total.WithLabelValues("tcp", name)
	}
	r.waited = auto.NewHistogram(prometheus.HistogramOpts{
		Name:    "grapevine_echo_queue_duration_seconds",
		Help:    "Time an echo request had been in the socket when this node came to read it: how starved of CPU the agent is.",
		Buckets: []float64{.0001, .001, .01, .1, 1},
	})
	return r
}
