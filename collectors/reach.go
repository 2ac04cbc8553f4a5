package collectors

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// reachGap is the time between two requests of a burst: apart enough that one
// full queue does not lose them all.
const reachGap = 20 * time.Millisecond

// reach probes the way to other nodes over one network.
type reach struct {
	node     string
	network  string // "the overlay"
	settings reachSettings
	limits   reachThresholds
	prober   echo.Prober
	known    func() []Peer
	metrics  *reachMetrics
	trips    *prometheus.HistogramVec

	// addresses are those of a peer in this network, at most one of each
	// family.
	addresses func(Peer) []netip.Addr
	// others are those in the other network, by which a peer is asked what
	// has arrived, and other is its name.
	others func(Peer) []netip.Addr
	other  string
	// onTop: this network is made of packets of the other one, so a peer that
	// is silent there, too, says nothing about this one.
	onTop bool
	ping  *pings // nil: ICMP tells nothing here
}

// probe is what probing one address of a peer found.
type probe struct {
	peer     Peer
	from, to netip.Addr // from is invalid when there is no route

	burst    echo.Burst
	burstErr error // of this node: nothing was sent

	// arrived is how many requests arrived, -1 when nobody could tell:
	// arrivedErr says why, nil that nobody was asked.
	arrived    int
	arrivedErr error

	connect    time.Duration
	connectErr error
	get        time.Duration
	getErr     error

	pinged pinged
}

// peerProbes is what was found about one peer, a probe for each address.
type peerProbes struct {
	peer   Peer
	probes []*probe
}

func (p *probe) hasRoute() bool { return p.from.IsValid() }

// look probes the peers that are due, all at once, and returns what it found
// by peer, in their order.
func (c *reach) look(ctx context.Context, r *Report) []*peerProbes {
	var looked []*peerProbes
	var running parallel
	skipped := 0
	for _, peer := range neighbours(c.node, c.known(), c.settings.Neighbours) {
		if !peer.settled() {
			skipped++
			continue
		}
		p := &peerProbes{peer: peer}
		looked = append(looked, p)
		for _, addr := range c.addresses(peer) {
			p.probes = append(p.probes, &probe{peer: peer, from: sourceTo(addr), to: addr, arrived: -1})
		}
		// A node without IPv6 does not blame a peer that has it.
		if slices.ContainsFunc(p.probes, (*probe).hasRoute) {
			p.probes = slices.DeleteFunc(p.probes, func(one *probe) bool { return !one.hasRoute() })
		}
		for _, one := range p.probes {
			running.run(func() { c.probe(ctx, one) })
		}
	}
	running.wait()
	r.Sample(&c.metrics.peers, float64(skipped), "skipped")
	return looked
}

// probe does all that is done to one address.
func (c *reach) probe(ctx context.Context, p *probe) {
	var running parallel
	running.run(func() { c.probeTCP(ctx, p) })
	if c.ping != nil && p.hasRoute() {
		running.run(func() { p.pinged = c.ping.ask(ctx, p.to, c.settings.AnswerTimeout) })
	}
	c.probeUDP(ctx, p)
	running.wait()
}

func (c *reach) probeUDP(ctx context.Context, p *probe) {
	n := c.settings.Packets
	patience := time.Duration(n)*reachGap + c.settings.AnswerTimeout
	sending, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p.burst, p.burstErr = c.prober.Burst(sending, netip.AddrPortFrom(p.to, p.peer.Port), n, reachGap)
	answers := len(p.burst.Answers)
	switch {
	case p.burstErr != nil || p.burst.Refused:
		return
	case answers == p.burst.Sent:
		p.arrived = answers
		return
	}
	vias := c.others(p.peer)
	if answers > 0 {
		vias = append(vias, p.to)
	}
	// One wait for all the ways by which to ask: the way that has answered
	// comes last and gets what is left.
	asking, cancel := context.WithTimeout(ctx, c.settings.AnswerTimeout)
	defer cancel()
	for i, via := range vias {
		one, cancel := context.WithTimeout(asking, c.settings.AnswerTimeout/time.Duration(len(vias)-i))
		n, err := c.prober.Arrived(one, netip.AddrPortFrom(via, p.peer.Port), p.burst.Session)
		cancel()
		if err == nil {
			p.arrived, p.arrivedErr = min(max(n, answers), p.burst.Sent), nil
			return
		}
		p.arrivedErr = err
	}
}

func (c *reach) probeTCP(ctx context.Context, p *probe) {
	ctx, cancel := context.WithTimeout(ctx, c.settings.AnswerTimeout)
	defer cancel()
	to := netip.AddrPortFrom(p.to, p.peer.Port)
	if p.connect, p.connectErr = c.prober.Connect(ctx, to); p.connectErr != nil {
		p.getErr = p.connectErr
		return
	}
	p.get, _, p.getErr = c.prober.Get(ctx, to)
}

// sourceTo is the address that the kernel would send from; invalid without a
// route. Connecting a UDP socket sends nothing.
func sourceTo(to netip.Addr) netip.Addr {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
	if err != nil {
		return netip.Addr{}
	}
	defer func() { _ = conn.Close() }()
	from, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	return from.AddrPort().Addr().Unmap()
}

// oneOfEach returns the first IPv4 and the first IPv6 address.
func oneOfEach(addrs []netip.Addr) []netip.Addr {
	var one []netip.Addr
	for _, six := range []bool{false, true} {
		for _, a := range addrs {
			if a = a.Unmap(); a.IsValid() && a.Is6() == six {
				one = append(one, a)
				break
			}
		}
	}
	return one
}
