package collectors

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/netsim"
)

// Loss, delay and cuts between nodes whose overlay nobody uses.
func TestHostNetwork(t *testing.T) {
	t.Parallel()
	h := netsim.NeedHosts(t, netsim.HostsOptions{Count: 4})
	responder(t, h.Host(2), "n2")
	responder(t, h.Host(3), "n3")
	stop4 := responder(t, h.Host(4), "n4")
	c := startOn(t, "host-network", quickReach, h, 1, 4)
	c.Peers[1].Host = append(c.Peers[1].Host, h.Host(3).Addr6) // n3: dual stack

	s := c.run(t)
	for _, peer := range []string{"n1", "n2", "n3", "n4", "link eth0"} {
		s.expect(t, peer, health.OK)
	}
	for _, protocol := range []string{"udp", "tcp", "http", "icmp", "udp6", "tcp6", "http6", "icmp6"} {
		if s.value(t, &hostNetworkMetrics.success, "n3", protocol) != 1 {
			t.Errorf("n3 by %s is not well", protocol)
		}
	}
	if s.value(t, &hostNetworkICMP) != 1 || s.value(t, &linkUp, "eth0") != 1 {
		t.Error("a metric of this node's own end is wrong")
	}

	h.Link(1, 2, netsim.Link{Delay: 150 * time.Millisecond})
	s = c.run(t)
	s.expect(t, "n2", health.Warning, "n1 (10.77.0.1) to n2 (10.77.0.2) over the host network", "the round trip takes 0.1", "median of 10")
	if trip := s.value(t, &hostNetworkMetrics.trip, "n2", "udp"); trip < 0.15 {
		t.Errorf("the round trip is %v s", trip)
	}

	h.Heal()
	h.Link(2, 1, netsim.Link{Drop: everySecondRequest()})
	s = c.run(t)
	s.expect(t, "n2", health.Critical, "5 of 10 UDP requests are not answered: 0 are lost on the way to n2, 5 answers on the way back")
	if loss := s.value(t, &hostNetworkMetrics.loss, "n2", "udp"); loss != 0.5 {
		t.Errorf("half of the answers are lost, but %v of the packets", loss)
	}

	h.Heal()
	h.Link(1, 2, netsim.Link{Cut: true})
	s = c.run(t)
	s.expect(t, "n2", health.Critical, "none of 10 UDP requests is answered")
	s.expect(t, "n3", health.OK)
	s.expect(t, "n1", health.OK)
	if s.value(t, &hostNetworkMetrics.success, "n2", "icmp") != 0 {
		t.Error("a ping passed a cut")
	}

	// Who is there with another fault is not taken for unreachable.
	h.Heal()
	stop4()
	h.Link(1, 2, netsim.Link{Drop: netsim.TCPTo(echoPort)})
	s = c.run(t)
	s.expect(t, "n2", health.Critical, "UDP is answered, but no TCP connection is made to port 7998: no answer within 1 s")
	s.expect(t, "n4", health.Unknown, "n4 is there, but nobody listens on its echo port 7998")
	h.Link(1, 2, netsim.Link{Drop: netsim.UDPTo(echoPort)})
	hung(t, h.Host(4))
	s = c.run(t)
	s.expect(t, "n2", health.Critical, "HTTP is answered, but none of 10 UDP requests is answered")
	s.expect(t, "n4", health.Unknown, "echo port 7998 of n4 takes TCP connections, but neither UDP nor HTTP is answered (no answer within 1 s): its agent hangs")
	tcp, udp := netsim.TCPTo(echoPort), netsim.UDPTo(echoPort)
	h.Link(1, 2, netsim.Link{Drop: func(frame []byte) bool { return tcp(frame) || udp(frame) }})
	c.run(t).expect(t, "n2", health.Warning, "ping is answered, but neither UDP nor TCP on echo port 7998: a firewall")
	h.Heal()
	c.Peers[0].Name, c.Peers[1].Host = "n5", c.Peers[1].Host[1:]
	other := startOn(t, "host-network", quickReach, h, 2, 3)
	other.EchoKey = []byte("of another cluster")
	other.run(t).expect(t, "n3", health.Unknown, "neither UDP nor HTTP is answered", "another key")
	c.run(t).expect(t, "n5", health.Warning, "n2 answers there instead of n5")

	// This node's own cable.
	c.Peers[0].Name = "n2"
	must(t, h.Host(1).Carrier(false))
	until(t, "the kernel notices the cable", func() bool { s = c.run(t); return s.value(t, &linkUp, "eth0") == 0 })
	s.expect(t, "link eth0", health.Critical, "n1: link eth0 has no carrier")
	until(t, "nobody is reached", func() bool { s = c.run(t); return s.results["n1"].Status == health.Critical })
	s.expect(t, "n1", health.Critical, "none of 3 peers is reached over the host network: look for the cause on n1 first")
	s.expect(t, "n2", health.Unknown, "none of 10 UDP requests is answered", "see the verdict on n1 first")
	for range 2 {
		must(t, h.Host(1).Carrier(true))
		until(t, "the cable is back", func() bool { return c.run(t).value(t, &linkUp, "eth0") == 1 })
		must(t, h.Host(1).Carrier(false))
		until(t, "the cable is pulled", func() bool { return c.run(t).value(t, &linkUp, "eth0") == 0 })
	}
	must(t, h.Host(1).Carrier(true))
	until(t, "all is well but the flapping", func() bool { s = c.run(t); return s.results["n2"].Status == health.OK })
	s.expect(t, "link eth0", health.Warning, "within 10 minutes: it flaps")
}

// hung opens a responder's port on the host, and answers nothing.
func hung(t *testing.T, host *netsim.Host) {
	t.Helper()
	must(t, host.Do(func() error {
		tcp, err := net.Listen("tcp", ":7998")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = tcp.Close() })
		udp, err := net.ListenPacket("udp", ":7998")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = udp.Close() })
		return nil
	}))
}

// A host network that is cut in one direction is told by way of the overlay,
// if that goes another way; a real one does so with WireGuard or a second
// link.
func TestHostNetworkDirection(t *testing.T) {
	t.Parallel()
	h := netsim.NeedHosts(t, netsim.HostsOptions{Count: 2, Overlay: true})
	responder(t, h.Host(2), "n2")
	c := startOn(t, "host-network", quickReach, h, 1, 2)
	direct := netsim.UDPTo(echoPort)
	h.Link(1, 2, netsim.Link{Drop: func(frame []byte) bool { return direct(frame) }})
	c.run(t).expect(t, "n2", health.Critical, "HTTP is answered, but none of 10 UDP requests arrives at n2, which answers over the overlay")
}

// The kernel's own table, once a rule has it track connections.
func TestConntrackOfTheKernel(t *testing.T) {
	t.Parallel()
	h := netsim.NeedHosts(t, netsim.HostsOptions{Count: 2})
	if _, err := exec.LookPath("nft"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("tracking connections needs nft: apt-get install nftables")
	}
	responder(t, h.Host(2), "n2")
	c := startOn(t, "host-network", "{thresholds: {conntrack: {warning: 0.000001, critical: 1}}}", h, 1, 2)
	c.run(t).expect(t, conntrackSubject, health.OK)
	rules := h.Host(1).Command("nft", "-f", "-")
	rules.Stdin = strings.NewReader("table inet track { chain in { type filter hook input priority 0; ct state established accept; }; }\n")
	out, err := rules.CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	c.run(t) // its own probes are tracked
	s := c.run(t)
	s.expect(t, conntrackSubject, health.Warning, "the connection tracking table of n1 is 0 % full, with ")
	if entries, limit := s.value(t, &conntrackEntries), s.value(t, &conntrackLimit); entries < 1 || limit <= entries {
		t.Errorf("%v of %v connections", entries, limit)
	}
	if !s.has(&conntrackDrops) {
		t.Error("the kernel's counters are not exported")
	}
}
