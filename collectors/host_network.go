package collectors

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/go-kit/log"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// What the host-network check exports about peers; links and connection
// tracking stand in files of their own.
var (
	hostNetworkMetrics = reachMetricsOf("grapevine_host_network_", "the nodes' own network")

	hostNetworkICMP = Metric{
		Name: "grapevine_host_network_icmp_allowed", Type: health.Gauge,
		Help: "Whether the kernel lets the agent send ICMP echo requests; without them a node that is there cannot be told from a port that is filtered.",
	}
)

func hostNetworkSpec() Spec {
	return Spec{
		Name:    "host-network",
		Summary: "whether this node reaches others by their own addresses, the state and errors of its links, and its connection tracking table",
		Why:     "etcd, the API server, the kubelets and the pod network all go over the nodes' own network; loss there shows as slowness of everything, and a full connection tracking table drops new connections only.",
		Remedy: "Confirm with ping between the two addresses named, and with ip -s link and dmesg on the node that shows errors. When most peers fail, begin on the node that says so: its cable, its switch port, its firewall. " +
			"A conntrack table that fills up: find who opens the connections (conntrack -L), or raise net.netfilter.nf_conntrack_max.",
		Subject:  `peer; this node's own name for its own end; "link" and a device; "conntrack table"`,
		Metrics:  slices.Concat(hostNetworkMetrics.all(), []Metric{hostNetworkICMP}, linkMetrics, conntrackMetrics),
		Settings: func() Settings { return defaultHostNetworkSettings() },
	}
}

// hostNetworkCheck probes the way to other nodes by their own addresses, and
// looks at this node's end of it.
type hostNetworkCheck struct {
	reach
	links     *links
	conntrack *conntrack
}

// New is never absent: every node has a network.
func (s *hostNetworkSettings) New(env Env) (Collector, error) {
	logger := log.With(env.Logger, "check", "host-network")
	c := &hostNetworkCheck{
		links: &links{
			node: env.Node, paths: env.Paths, limits: s.Thresholds, now: time.Now, logger: logger,
			had: make(map[string]*linkHistory),
		},
		conntrack: &conntrack{node: env.Node, paths: env.Paths, limits: s.Thresholds, now: time.Now},
	}
	c.reach = reach{
		node: env.Node, network: "the host network", other: "the overlay",
		settings: s.reachSettings, limits: s.Thresholds.reachThresholds,
		prober: echo.Prober{Node: env.Node, Keys: env.EchoKeys}, known: env.Peers,
		metrics: &hostNetworkMetrics, trips: hostNetworkMetrics.trips.Histogram(env.Registry),
		addresses: func(p Peer) []netip.Addr { return oneOfEach(p.Host) },
		others:    func(p Peer) []netip.Addr { return oneOfEach(p.Overlay) },
	}
	if env.Peers == nil { // as in grapevine check: there is still this node's end
		c.known = func() []Peer { return nil }
	}
	if s.Pings > 0 {
		c.ping = &pings{count: s.Pings}
	}
	return c, nil
}

// Name is the check's name.
func (c *hostNetworkCheck) Name() string { return "host-network" }

// Collect probes all neighbours at once, and reads this node's counters.
func (c *hostNetworkCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	c.links.judge(r)
	c.conntrack.judge(r)
	count := c.judge(r, c.look(ctx, r))
	if c.ping != nil {
		r.Sample(&hostNetworkICMP, boolean(c.ping.allowed()))
	}
	if count != (tally{}) {
		own := &assessment{about: c.node + ":"}
		c.judgeOwn(own, count)
		own.verdict(r, c.node)
	}
	return nil
}
