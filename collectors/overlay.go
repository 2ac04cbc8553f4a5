package collectors

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// What the overlay check exports.
var overlayMetrics = reachMetricsOf("grapevine_overlay_", "the pod network")

func overlaySpec() Spec {
	return Spec{
		Name:    "overlay",
		Summary: "whether this node reaches others over the pod network: UDP loss and round trip, TCP, HTTP, by direction",
		Why:     "Pods on different nodes, and with them DNS and every service, hear each other over the pod network alone; it can be dead while the nodes reach each other well.",
		Remedy: "Confirm with ping between the two addresses named, then look at the network plugin's pods on both nodes. " +
			"A firewall that drops the tunnel's port (VXLAN 8472 or 4789, Geneve 6081, WireGuard 51820 and 51821, IPIP is protocol 4) is the usual cause. When most peers fail, begin on the node that says so.",
		Subject:  "peer; this node's own name for its own end",
		Metrics:  overlayMetrics.all(),
		Workload: true,
		Settings: func() Settings { return defaultOverlaySettings() },
	}
}

// overlayCheck probes the way to other nodes over the pod network.
type overlayCheck struct {
	reach
	place overlayPlace
}

// New looks for this node's own address in the pod network.
func (s *overlaySettings) New(env Env) (Collector, error) {
	if env.Peers == nil {
		return nil, fmt.Errorf("a mesh, which tells what nodes to probe, is %w, or this is not the agent", ErrAbsent)
	}
	place, err := s.find(net.Interfaces)
	if err != nil {
		return nil, err
	}
	c := &overlayCheck{place: place}
	c.reach = reach{
		node: env.Node, network: "the overlay", other: "the host network", onTop: true,
		settings: s.reachSettings, limits: s.Thresholds,
		prober: echo.Prober{Node: env.Node, Keys: env.EchoKeys}, known: env.Peers,
		metrics: &overlayMetrics, trips: overlayMetrics.trips.Histogram(env.Registry),
		others: func(p Peer) []netip.Addr { return oneOfEach(p.Host) },
		addresses: func(p Peer) []netip.Addr {
			return slices.DeleteFunc(oneOfEach(p.Overlay), func(a netip.Addr) bool { return !c.has(a.Is6()) })
		},
	}
	return c, nil
}

// has tells whether this node has an address of that family in the pod
// network.
func (c *overlayCheck) has(six bool) bool {
	return slices.ContainsFunc(c.place.addrs, func(a netip.Addr) bool { return a.Is6() == six })
}

// Name is the check's name.
func (c *overlayCheck) Name() string { return "overlay" }

// Collect probes all neighbours at once.
func (c *overlayCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	count := c.judge(r, c.look(ctx, r))
	own := &assessment{about: named(c.node, append(addressesOf(c.place.addrs), c.place.names...)) + ":"}
	for _, addr := range c.place.addrs {
		if err := holds(addr); err != nil {
			own.add(health.Critical, "%s is not an address of this node any more: the network plugin's interface %s is gone or was changed", addr, strings.Join(c.place.names, ", "))
		}
	}
	c.judgeOwn(own, count)
	own.verdict(r, c.node)
	return nil
}
