package collectors

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/netsim"
)

const quickMTU = "{answer_timeout: 150ms}"

// bytes checks the largest packet that passed, and that the kernel sends.
func (s seen) bytes(t *testing.T, peer, network string, path, route float64) {
	t.Helper()
	if got := s.value(t, &mtuPath, peer, network); got != path {
		t.Errorf("%s over %s: %v bytes pass, want %v", peer, network, got, path)
	}
	if got := s.value(t, &mtuRoute, peer, network); got != route {
		t.Errorf("%s over %s: the kernel sends %v bytes, want %v", peer, network, got, route)
	}
	if got := s.value(t, &mtuSuccess, peer, network); got != boolean(path > 0) {
		t.Errorf("%s over %s: success %v", peer, network, got)
	}
}

func TestMTU(t *testing.T) {
	t.Parallel()
	h := netsim.NeedHosts(t, netsim.HostsOptions{Count: 3, Overlay: true})
	for i := 1; i <= 2; i++ {
		responder(t, h.Host(i), h.Host(i).Name)
	}
	stop3 := responder(t, h.Host(3), "n3")
	c := startOn(t, "mtu", quickMTU, h, 1, 3)
	c.Peers[0].Host = append(c.Peers[0].Host, h.Host(2).Addr6)

	s := c.run(t)
	for _, peer := range []string{"n2", "n3"} {
		s.expect(t, peer, health.OK)
		s.bytes(t, peer, "host", 1500, 1500)
		s.bytes(t, peer, "overlay", 1450, 1450)
	}
	s.bytes(t, "n2", "host6", 1500, 1500)

	// Both networks on the way to n2: the overlay is made of packets of the
	// other one.
	h.Link(1, 2, netsim.Link{MTU: 1400})
	s = c.run(t)
	s.expect(t, "n2", health.Critical,
		"n1 to n2: over the host network 1400 bytes pass, 1500 do not, though eth0 says 1500, and no router on the way says otherwise",
		"over the host network by IPv6 1400 bytes pass, 1500 do not",
		"over the overlay 1350 bytes pass, 1450 do not, though flannel.1 says 1450")
	s.expect(t, "n3", health.OK)
	s.bytes(t, "n2", "host", 1400, 1500)
	s.bytes(t, "n2", "host6", 1400, 1500)
	s.bytes(t, "n2", "overlay", 1350, 1450)
	if s.value(t, &mtuBlackHole, "n2", "host") != 1 || s.value(t, &mtuBlackHole, "n3", "host") != 0 {
		t.Error("the black hole is not exported")
	}
	long := s.took
	s = c.run(t) // goes straight for what was found
	s.bytes(t, "n2", "host", 1400, 1500)
	if s.took > long {
		t.Errorf("took %v after %v", s.took, long)
	}
	h.Link(1, 2, netsim.Link{MTU: 1450}) // which now is wrong
	c.run(t).bytes(t, "n2", "host", 1450, 1500)
	h.Heal()
	s = c.run(t)
	s.expect(t, "n2", health.OK)
	s.bytes(t, "n2", "host", 1500, 1500)

	// One direction only: n2's answers vanish.
	h.Link(2, 1, netsim.Link{MTU: 1400})
	c.run(t).expect(t, "n2", health.Critical, "1400 bytes pass; 1500 arrive, but an answer as large does not come back")

	// The overlay only: what is too large for it is not too large for the
	// network below.
	h.Heal()
	overlay := netsim.UDPTo(netsim.VXLANPort)
	h.Link(1, 2, netsim.Link{Drop: func(frame []byte) bool { return overlay(frame) && len(frame) > 14+1350+50 }})
	s = c.run(t)
	s.bytes(t, "n2", "host", 1500, 1500)
	s.bytes(t, "n2", "overlay", 1350, 1450)
	s.expect(t, "n2", health.Critical, "n1 to n2: over the overlay 1350 bytes pass, 1450 do not, though flannel.1 says 1450")

	// Loss is no black hole.
	h.Heal()
	h.Link(1, 2, netsim.Link{Loss: 0.2})
	h.Link(2, 1, netsim.Link{Loss: 0.2})
	for range 5 {
		if got := c.run(t).results["n2"]; got.Status == health.Critical {
			t.Errorf("loss: %+v", got)
		}
	}

	// Nothing passes, or nobody is there to answer: others say so.
	h.Heal()
	h.Link(1, 2, netsim.Link{Cut: true})
	stop3()
	s = c.run(t)
	s.expect(t, "n2", health.Unknown, "n1 to n2: over the host network no packet is answered, however small")
	s.bytes(t, "n2", "host", 0, 1500)
	s.expect(t, "n3", health.Unknown, "nobody listens on its echo port 7998")
	c.Peers[0].Quiet = "shutting down"
	c.Peers[1].Since = time.Now()
	s = c.run(t)
	s.expect(t, "n2", health.Unknown, "it is shutting down")
	if _, judged := s.results["n3"]; judged {
		t.Error("a newcomer is judged")
	}
}

// n1 reaches n3 by n2, a router whose interface takes less.
func TestMTUThroughARouter(t *testing.T) {
	t.Parallel()
	h := netsim.NeedHosts(t, netsim.HostsOptions{Count: 3})
	n1, n2, n3 := h.Host(1), h.Host(2), h.Host(3)
	responder(t, n3, "n3")
	must(t, n2.Do(func() error {
		for name, value := range map[string]string{
			"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv4/conf/all/send_redirects": "0", "ipv4/conf/eth0/send_redirects": "0",
		} {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	}))
	for _, addr := range []struct{ to, by netip.Addr }{{n3.Addr, n2.Addr}, {n3.Addr6, n2.Addr6}} {
		must(t, n1.IP("route", "add", addr.to.String(), "via", addr.by.String()))
	}
	must(t, n2.IP("link", "set", "eth0", "mtu", "1400"))
	c := startOn(t, "mtu", quickMTU, h, 1, 3)
	c.Peers = c.Peers[1:]
	c.Peers[0].Host = append(c.Peers[0].Host, n3.Addr6)

	// The router says what it takes, and the kernel heeds it.
	s := c.run(t)
	s.expect(t, "n3", health.OK)
	s.bytes(t, "n3", "host", 1400, 1400)
	s.bytes(t, "n3", "host6", 1400, 1400)

	// Its word is dropped on the way.
	must(t, n1.IP("route", "flush", "cache"))
	must(t, n1.IP("-6", "route", "flush", "cache"))
	h.Link(2, 1, netsim.Link{Drop: tooLarge})
	s = c.run(t)
	s.expect(t, "n3", health.Critical, "over the host network 1400 bytes pass, 1500 do not, though eth0 says 1500", "by IPv6 1400 bytes pass, 1500 do not")
	s.bytes(t, "n3", "host", 1400, 1500)

	// The peer's own interface takes less than this node's: no black hole.
	h.Heal()
	must(t, n1.IP("route", "del", n3.Addr.String()))
	must(t, n1.IP("-6", "route", "del", n3.Addr6.String()))
	must(t, n3.IP("link", "set", "eth0", "mtu", "1400"))
	s = c.run(t)
	s.expect(t, "n3", health.OK)
}

// tooLarge tells the frames with which a router says that a packet was.
func tooLarge(frame []byte) bool {
	switch {
	case len(frame) < 14+48:
		return false
	case binary.BigEndian.Uint16(frame[12:]) == 0x0800:
		return frame[14+9] == 1 && frame[14+20] == 3 && frame[14+21] == 4
	}
	return frame[14+6] == 58 && frame[14+40] == 2
}
