package mesh

import (
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/mesh/exchange"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// observer counts what happens on the exchange and logs what is refused, each
// reason once a minute at most: whoever is refused may come back quickly.
type observer struct {
	logger log.Logger
	quiet  *oncePerMinute

	refusals *prometheus.CounterVec
	frames   *prometheus.CounterVec
	rounds   *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	shed     prometheus.Counter
	told     *prometheus.CounterVec
}

func newObserver(logger log.Logger, registry prometheus.Registerer) *observer {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		registry.MustRegister(c)
		return c
	}
	shed := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "grapevine_mesh_shed_bytes_total",
		Help: "Bytes of the fast path that were dropped because a peer was too slow or away; repair makes up for them.",
	})
	registry.MustRegister(shed)
	return &observer{
		shed: shed, logger: logger, quiet: newOncePerMinute(),
		refusals: counter("grapevine_mesh_refused_total", "Peers and frames refused, by reason.", "reason"),
		frames:   counter("grapevine_mesh_frames_received_total", "Frames received, by their way here (fast or repair) and whether they were news.", "path", "outcome"),
		rounds:   counter("grapevine_mesh_exchanges_total", "Exchanges begun by this node, by how they ended.", "outcome"),
		bytes:    counter("grapevine_mesh_exchange_bytes_total", "Bytes of the exchange on the wire.", "direction"),
		told:     counter("grapevine_mesh_news_total", "Urgent news by gossip, told or heard, by what became of it.", "outcome"),
	}
}

// Refused is called by the exchange.
func (o *observer) Refused(peer string, r *state.Refusal) {
	o.refusals.WithLabelValues(r.Reason).Inc()
	if r.Reason == state.ReasonNotMember || r.Reason == state.ReasonMissing {
		return // the gossip is a little behind: the next round mends it
	}
	if o.quiet.due(r.Reason) {
		level.Warn(o.logger).Log("msg", "refused", "reason", r.Reason, "peer", peer, "err", r.Err)
	}
}

// refusedMember is called by the gossip.
func (o *observer) refusedMember(reason string, err error) {
	o.refusals.WithLabelValues(reason).Inc()
	if o.quiet.due("gossip " + reason) {
		level.Warn(o.logger).Log("msg", "refused in the gossip", "reason", reason, "err", err)
	}
}

// Applied is called by the exchange.
func (o *observer) Applied(path exchange.Path, applied, old int) {
	o.frames.WithLabelValues(string(path), "applied").Add(float64(applied))
	o.frames.WithLabelValues(string(path), "old").Add(float64(old))
}

// Transferred is called by the exchange.
func (o *observer) Transferred(in, out int) {
	if in > 0 {
		o.bytes.WithLabelValues("in").Add(float64(in))
	}
	if out > 0 {
		o.bytes.WithLabelValues("out").Add(float64(out))
	}
}

// Shed is called by the exchange.
func (o *observer) Shed(peer string, bytes int) {
	o.shed.Add(float64(bytes))
	if o.quiet.due("shed " + peer) {
		level.Debug(o.logger).Log("msg", "a peer does not take what it is sent", "peer", peer, "bytes", bytes)
	}
}

// round counts an exchange that this node began.
func (o *observer) round(err error, peer string) {
	if err == nil {
		o.rounds.WithLabelValues("ok").Inc()
		return
	}
	o.rounds.WithLabelValues("failed").Inc()
	level.Debug(o.logger).Log("msg", "exchange failed", "peer", peer, "err", err)
}
