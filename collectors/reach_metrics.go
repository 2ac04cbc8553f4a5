package collectors

import (
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// reachLabels: protocol is udp, tcp, http or icmp, with a 6 at its end over
// IPv6.
var reachLabels = []string{"peer", "protocol"}

// reachMetrics are what a check that probes the way to other nodes exports.
type reachMetrics struct {
	success, loss, arrived, trip, trips, peers Metric
}

// reachMetricsOf describes them for one check. network is the word for what
// lies between the nodes.
func reachMetricsOf(prefix, network string) reachMetrics {
	return reachMetrics{
		success: Metric{
			Name: prefix + "probe_success", Type: health.Gauge, Labels: reachLabels,
			Help: "Whether the peer answered the last probe over " + network + ": a UDP request of several, a TCP connection, an HTTP request.",
		},
		loss: Metric{
			Name: prefix + "loss_ratio", Type: health.Gauge, Labels: reachLabels,
			Help: "Ratio of the last run's packets over " + network + " that the peer's answer did not come back for.",
		},
		arrived: Metric{
			Name: prefix + "arrived_ratio", Type: health.Gauge, Labels: reachLabels,
			Help: "Ratio of the last run's requests over " + network + " that arrived at the peer, by its own count; what is lost besides is lost on the way back. Absent while the peer cannot be asked.",
		},
		trip: Metric{
			Name: prefix + "round_trip_seconds", Type: health.Gauge, Labels: reachLabels,
			Help: "Time until the peer's answer over " + network + " in the last run: the median of UDP and ICMP, connecting of TCP, the whole request of HTTP.",
		},
		trips: Metric{
			Name: prefix + "round_trip_duration_seconds", Type: health.Histogram, Labels: []string{"protocol"},
			Help:    "Time until the answer over " + network + ", of all peers together.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		},
		peers: Metric{
			Name: prefix + "peers", Type: health.Gauge, Labels: []string{"state"},
			Help: "Peers by what the last run found: reached, unreachable, unknown (it could not be told), skipped (too new, or without a responder).",
		},
	}
}

func (m *reachMetrics) all() []Metric {
	return []Metric{m.success, m.loss, m.arrived, m.trip, m.trips, m.peers}
}

// export writes what one probe measured.
func (c *reach) export(r *Report, p *probe) {
	family := ""
	if p.to.Is6() {
		family = "6"
	}
	m, peer := c.metrics, p.peer.Name
	done := func(protocol string, err error, took time.Duration) {
		protocol += family
		r.Sample(&m.success, boolean(err == nil), peer, protocol)
		if err == nil {
			r.Sample(&m.trip, took.Seconds(), peer, protocol)
			c.trips.WithLabelValues(protocol).Observe(took.Seconds())
		}
	}
	packets := func(protocol string, sent int, trips []time.Duration) {
		protocol += family
		r.Sample(&m.success, boolean(len(trips) > 0), peer, protocol)
		r.Sample(&m.loss, 1-float64(len(trips))/float64(max(sent, 1)), peer, protocol)
		if len(trips) > 0 {
			r.Sample(&m.trip, medianTrip(trips).Seconds(), peer, protocol)
		}
		for _, trip := range trips {
			c.trips.WithLabelValues(protocol).Observe(trip.Seconds())
		}
	}
	packets("udp", p.burst.Sent, p.trips())
	if p.arrived >= 0 && p.burst.Sent > 0 {
		r.Sample(&m.arrived, float64(p.arrived)/float64(p.burst.Sent), peer, "udp"+family)
	}
	done("tcp", p.connectErr, p.connect)
	done("http", p.getErr, p.get)
	if p.pinged.sent > 0 {
		packets("icmp", p.pinged.sent, p.pinged.trips)
	}
}

// trips are the round trips of UDP.
func (p *probe) trips() []time.Duration {
	trips := make([]time.Duration, 0, len(p.burst.Answers))
	for _, a := range p.burst.Answers {
		trips = append(trips, a.RTT)
	}
	return trips
}

// medianTrip is the middle one of at least one duration, the larger of two.
func medianTrip(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
