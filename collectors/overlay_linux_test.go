package collectors

import (
	"context"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/echo"
	"github.com/grapevine-mesh/grapevine/test/netsim"
)

const echoPort = 7998

var echoKey = []byte("a key that all nodes of the test share")

// responder is that of one host; stop ends it.
func responder(t *testing.T, host *netsim.Host, node string) (stop func()) {
	t.Helper()
	r := echo.NewResponder(echo.Config{Node: node, Keys: echoKeys(echoKey), Logger: log.NewNopLogger(), Registry: prometheus.NewRegistry()})
	must(t, host.Do(func() error { return r.Listen(":" + strconv.Itoa(echoPort)) }))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("responder of %s: %v", node, err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// peerAt is what the mesh would tell of a host.
func peerAt(host *netsim.Host) Peer {
	p := Peer{Name: host.Name, Host: []netip.Addr{host.Addr}, Port: echoPort, Since: time.Now().Add(-time.Hour)}
	if host.Overlay.IsValid() {
		p.Overlay = []netip.Addr{host.Overlay}
	}
	return p
}

// startOn runs a check on a host that knows all others.
func startOn(t *testing.T, check, settings string, h *netsim.Hosts, self int, count int) *elsewhere {
	t.Helper()
	host := h.Host(self)
	e := &elsewhere{Check: check, Settings: settings, Node: host.Name, EchoKey: echoKey}
	for i := 1; i <= count; i++ {
		if i != self {
			e.Peers = append(e.Peers, peerAt(h.Host(i)))
		}
	}
	e.start(t, host.Command)
	return e
}

const quickReach = "{answer_timeout: 1s}"

// The overlay's port is dropped on the way to one node, while the nodes reach
// each other: whoever looks at the host network sees nothing.
func TestOverlay(t *testing.T) {
	t.Parallel()
	h := netsim.NeedHosts(t, netsim.HostsOptions{Count: 4, Overlay: true})
	var stop4 func()
	for i := 1; i <= 4; i++ {
		stop4 = responder(t, h.Host(i), h.Host(i).Name)
	}
	overlay := startOn(t, "overlay", quickReach, h, 1, 4)
	host := startOn(t, "host-network", quickReach, h, 1, 4)

	s := overlay.run(t)
	for _, peer := range []string{"n2", "n3", "n4"} {
		s.expect(t, peer, health.OK)
		for _, protocol := range []string{"udp", "tcp", "http"} {
			if s.value(t, &overlayMetrics.success, peer, protocol) != 1 || s.value(t, &overlayMetrics.trip, peer, protocol) <= 0 {
				t.Errorf("%s by %s is not well", peer, protocol)
			}
		}
		if loss := s.value(t, &overlayMetrics.loss, peer, "udp"); loss != 0 {
			t.Errorf("%s: %v of the packets are lost", peer, loss)
		}
	}
	s.expect(t, "n1", health.OK)
	if n := s.value(t, &overlayMetrics.peers, "reached"); n != 3 {
		t.Errorf("%v peers reached", n)
	}

	h.DropOverlay(1, 2)
	h.DropOverlay(2, 1)
	s = overlay.run(t)
	s.expect(t, "n2", health.Critical, "n1 (10.244.1.0) to n2 (10.244.2.0) over the overlay", "none of 10 UDP requests arrives at n2, which answers over the host network")
	s.expect(t, "n3", health.OK)
	s.expect(t, "n1", health.OK)
	if s.value(t, &overlayMetrics.success, "n2", "tcp") != 0 || s.value(t, &overlayMetrics.loss, "n2", "udp") != 1 || s.value(t, &overlayMetrics.arrived, "n2", "udp") != 0 {
		t.Error("what failed is not exported")
	}
	s = host.run(t)
	s.expect(t, "n2", health.OK)

	h.Heal()
	h.DropOverlay(2, 1)
	overlay.run(t).expect(t, "n2", health.Critical, "10 of 10 UDP requests arrive at n2, but none of its answers comes back")
	h.Heal()
	h.Link(1, 2, netsim.Link{Drop: everySecondRequest()})
	overlay.run(t).expect(t, "n2", health.Critical, "5 of 10 UDP requests are not answered: 5 are lost on the way to n2, 0 answers on the way back")

	// This node's own overlay is dead: the others are not blamed.
	h.Heal()
	h.DropOverlay(1, 0)
	s = overlay.run(t)
	s.expect(t, "n1", health.Critical, "n1 (10.244.1.0, flannel.1)", "none of 3 peers is reached over the overlay", "on n1 first")
	for _, peer := range []string{"n2", "n3", "n4"} {
		s.expect(t, peer, health.Unknown, "none of 10 UDP requests arrives", "see the verdict on n1 first")
	}
	h.Heal()
	must(t, h.Host(1).IP("link", "delete", "flannel.1"))
	overlay.run(t).expect(t, "n1", health.Critical, "10.244.1.0 is not an address of this node any more", "flannel.1")
	h.Heal()

	// On n3's side nothing is wrong: what follows is about single peers.
	other := startOn(t, "overlay", quickReach, h, 3, 4)
	stop4()
	h.Link(0, 2, netsim.Link{Cut: true})
	h.Link(2, 0, netsim.Link{Cut: true})
	s = other.run(t)
	s.expect(t, "n4", health.Unknown, "n4 is there, but nobody listens on its echo port 7998")
	s.expect(t, "n2", health.Unknown, "none of 10 requests is answered, but neither are they over the host network: it is not the overlay")
	h.Heal()
	h.DropOverlay(0, 2)
	other.Peers[1].Quiet = "cordoned"
	other.Peers[0].Overlay = nil
	other.Peers[2].Since = time.Now()
	s = other.run(t)
	s.expect(t, "n1", health.Unknown, "n1 has told no address there")
	s.expect(t, "n2", health.Unknown, "n2 is cordoned")
	if _, judged := s.results["n4"]; judged {
		t.Error("a newcomer is judged")
	}
	if n := s.value(t, &overlayMetrics.peers, "skipped"); n != 1 {
		t.Errorf("%v peers skipped", n)
	}
}

// everySecondRequest drops every other UDP request of echo: nothing else that a
// run sends is that large.
func everySecondRequest() func([]byte) bool {
	n := 0
	return func(frame []byte) bool {
		if len(frame) < 300 {
			return false
		}
		n++
		return n%2 == 0
	}
}
