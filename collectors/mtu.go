package collectors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// What the mtu check exports. Labels: network is host or overlay, with a 6 at
// its end over IPv6.
var (
	mtuLabels = []string{"peer", "network"}

	mtuSuccess = Metric{
		Name: "grapevine_mtu_probe_success", Type: health.Gauge, Labels: mtuLabels,
		Help: "Whether the peer answered any packet of the last run, whatever its size.",
	}
	mtuPath = Metric{
		Name: "grapevine_mtu_path_bytes", Type: health.Gauge, Labels: mtuLabels,
		Help: "Largest packet that passed to the peer and back without being fragmented, IP header included; 0: none.",
	}
	mtuRoute = Metric{
		Name: "grapevine_mtu_route_bytes", Type: health.Gauge, Labels: mtuLabels,
		Help: "Largest packet that this node's kernel sends to the peer: its interface's MTU, unless the route says less, or a router on the way did.",
	}
	mtuBlackHole = Metric{
		Name: "grapevine_mtu_black_hole", Type: health.Gauge, Labels: mtuLabels,
		Help: "Whether small packets pass to the peer, and those as large as the kernel sends vanish.",
	}
)

func mtuSpec() Spec {
	return Spec{
		Name:    "mtu",
		Summary: "largest packet that passes unfragmented to other nodes, over the host network and the pod network",
		Why:     "Where small packets pass and large ones vanish, everything connects and then hangs: TLS handshakes, image pulls, kubectl logs.",
		Remedy:  "Confirm with ping -M do -s SIZE (28 less than the packet) from one node to the other. Let firewalls pass ICMP \"fragmentation needed\" and ICMPv6 \"packet too big\", or set the interface's or the network plugin's MTU to what passes; VXLAN takes 50 bytes off the network below.",
		Subject: "peer",
		Metrics: []Metric{mtuSuccess, mtuPath, mtuRoute, mtuBlackHole},
		Settings: func() Settings {
			return defaultMTUSettings()
		},
	}
}

// mtuCheck looks for black holes on the way to other nodes.
type mtuCheck struct {
	settings mtuSettings
	node     string
	peers    func() []Peer
	prober   echo.Prober
	found    map[netip.AddrPort]mtuBounds // by the last run, where something was in the way
}

// New needs the mesh: it knows the other nodes.
func (s *mtuSettings) New(env Env) (Collector, error) {
	if env.Peers == nil {
		return nil, fmt.Errorf("the ways to other nodes are %w: there is no mesh here, only the agent has one", ErrAbsent)
	}
	return &mtuCheck{settings: *s, node: env.Node, peers: env.Peers, prober: echo.Prober{Node: env.Node, Keys: env.EchoKeys}}, nil
}

// Name is the check's name.
func (c *mtuCheck) Name() string { return "mtu" }

// Collect probes all ways to all neighbours at once.
func (c *mtuCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	var ways [][]*mtuWay // by peer
	var looking parallel
	for _, peer := range neighbours(c.node, c.peers(), c.settings.Neighbours) {
		if !peer.settled() {
			continue
		}
		own := c.waysTo(peer)
		ways = append(ways, own)
		for _, w := range own {
			looking.run(func() { w.look(ctx) })
		}
	}
	looking.wait()
	c.found = make(map[netip.AddrPort]mtuBounds)
	for _, own := range ways {
		c.judge(r, own)
	}
	return nil
}

// waysTo lists the ways to a peer: one for each network and family.
func (c *mtuCheck) waysTo(peer Peer) []*mtuWay {
	var ways []*mtuWay
	add := func(network string, addrs []netip.Addr) {
		for _, addr := range oneOfEach(addrs) {
			name, at := network, netip.AddrPortFrom(addr, peer.Port)
			if addr.Is6() {
				name += "6"
			}
			ways = append(ways, &mtuWay{peer: peer, network: name, addr: at, before: c.found[at], prober: c.prober, patience: c.settings.AnswerTimeout})
		}
	}
	add("host", peer.Host)
	add("overlay", peer.Overlay)
	return ways
}

// judge exports and judges all ways to one peer.
func (c *mtuCheck) judge(r *Report, ways []*mtuWay) {
	a := &assessment{}
	judged := 0
	for _, w := range ways {
		if len(ways) > 1 && errors.Is(w.err, syscall.ENETUNREACH) {
			continue // a node without IPv6, say, does not blame a peer that has it
		}
		judged++
		peer := w.peer.Name
		a.about = fmt.Sprintf("%s to %s:", c.node, peer)
		r.Sample(&mtuSuccess, boolean(w.path > 0), peer, w.network)
		r.Sample(&mtuPath, float64(w.path), peer, w.network)
		r.Sample(&mtuRoute, float64(w.route.MTU), peer, w.network)
		r.Sample(&mtuBlackHole, boolean(w.hole), peer, w.network)
		if w.bounds != (mtuBounds{}) {
			c.found[w.addr] = w.bounds
		}
		measured := health.Evidence{Value: float64(w.path), Threshold: float64(w.largest()), Unit: "bytes"}
		if a.measured.Unit == "" || w.path < int(a.measured.Value) {
			a.measured = measured
		}
		c.find(a, w, measured)
	}
	if judged > 0 {
		a.verdict(r, ways[0].peer.Name)
	}
}

// find adds what is wrong with one way.
func (c *mtuCheck) find(a *assessment, w *mtuWay, measured health.Evidence) {
	over := map[string]string{
		"host": "over the host network ", "host6": "over the host network by IPv6 ",
		"overlay": "over the overlay ", "overlay6": "over the overlay by IPv6 ",
	}[w.network]
	add := func(status health.Status, format string, args ...any) {
		a.findings = append(a.findings, finding{status: status, text: over + fmt.Sprintf(format, args...), evidence: measured})
	}
	switch {
	case errors.Is(w.err, syscall.ECONNREFUSED):
		add(health.Unknown, "nobody listens on its echo port %d", w.addr.Port())
	case w.err != nil:
		add(health.Unknown, "no packet can be sent: %s", cause(w.err, c.settings.AnswerTimeout))
	case w.path == 0 && w.peer.Quiet != "":
		add(health.Unknown, "no packet is answered; it is %s", clip(w.peer.Quiet, 60))
	case w.path == 0:
		add(health.Unknown, "no packet is answered, however small: the checks host-network and overlay say more")
	case w.lossy:
		add(health.Unknown, "too many small packets are lost to tell which sizes pass")
	case w.hole && w.back:
		add(health.Critical, "%d bytes pass; %d arrive, but an answer as large does not come back, though %s", w.path, w.largest(), c.says(w))
	case w.hole:
		add(health.Critical, "%d bytes pass, %d do not, though %s", w.path, w.largest(), c.says(w))
	}
}

// says words who thinks that a packet of the largest size would pass.
func (c *mtuCheck) says(w *mtuWay) string {
	name := interfaceOf(w.route.From)
	if name == "" {
		name = "the route"
	}
	return fmt.Sprintf("%s says %d, and no router on the way says otherwise", name, w.route.MTU)
}

// interfaceOf names the interface that has the address; empty: none.
func interfaceOf(addr netip.Addr) string {
	all, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, one := range all {
		addrs, err := one.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr() == addr {
				return clip(one.Name, 20)
			}
		}
	}
	return ""
}
