package collectors

import (
	"bytes"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// dnsTimeout is the check's default timeout.
const dnsTimeout = 12 * time.Second

// dnsAsking are settings that ask these servers of the cluster, and nothing
// of this machine.
func dnsAsking(servers ...netip.AddrPort) *dnsSettings {
	s := defaultDNSSettings()
	for _, server := range servers {
		s.ClusterDNS = append(s.ClusterDNS, server.String())
	}
	s.ClusterAddresses = []string{apiAddress, "fd00::1"}
	s.Thresholds.Latency = DurationLimits{} // a busy test machine
	s.Thresholds.OutsideLatency, s.Thresholds.SearchDuration = DurationLimits{}, DurationLimits{}
	return s
}

// newDNS builds the check for a node whose files lie below root, with
// servers known by address only at port.
func newDNS(t *testing.T, s *dnsSettings, root string, port uint16) *dnsCheck {
	t.Helper()
	away(t)
	must(t, s.Validate())
	env := envAt(root)
	env.Paths.Sys = filepath.Join(root, "sys")
	c, err := s.newAt(port, env)
	must(t, err)
	closeAtEnd(t, c)
	return c.(*dnsCheck)
}

// TestDNSServers shows what is said of every way a server can be bad.
func TestDNSServers(t *testing.T) {
	closed, err := real.FreePort()
	must(t, err)
	junk := func(packets ...[]byte) func([]byte) [][]byte { return func([]byte) [][]byte { return packets } }
	reply := func(change func(*dns.Msg)) func([]byte) [][]byte {
		return func(packet []byte) [][]byte {
			query := new(dns.Msg)
			if query.Unpack(packet) != nil {
				return nil
			}
			m := wellZone(query, true)
			change(m)
			out, err := m.Pack()
			if err != nil {
				return nil
			}
			return [][]byte{out}
		}
	}
	cases := []struct {
		name   string
		server netip.AddrPort
		status health.Status
		words  []string
	}{
		{"well", serveDNS(t, "127.0.0.1", "udp tcp", wellZone), health.OK, nil},
		{"IPv6 only", serveDNS(t, "127.0.0.1", "udp tcp", dnsZone(map[string][]string{apiName + " AAAA": {"fd00::1"}, outsideName + " A": {"192.0.2.7"}})), health.OK, nil},
		{"truncated", serveDNS(t, "127.0.0.1", "udp tcp", truncating(wellZone)), health.OK, nil},
		{"truncated without TCP", serveDNS(t, "127.0.0.1", "udp", truncating(wellZone)), health.Critical, []string{"truncates its answer over UDP, and over TCP there is none: connection refused"}},
		{"no TCP", serveDNS(t, "127.0.0.1", "udp", wellZone), health.Warning, []string{"answers over UDP, but not over TCP", "connection refused"}},
		{"no UDP", serveDNS(t, "127.0.0.1", "tcp", wellZone), health.Critical, []string{"answers over TCP, but not over UDP", "connection refused"}},
		{"dead", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(closed)), health.Critical, []string{"does not answer: connection refused"}},
		{"silent", serveDNS(t, "127.0.0.1", "udp tcp", silence), health.Critical, []string{"does not answer: no answer within 1"}},
		{"NXDOMAIN", serveDNS(t, "127.0.0.1", "udp tcp", withCode(dns.RcodeNameError)), health.Critical, []string{"answers " + apiName + ". with NXDOMAIN"}},
		{"SERVFAIL", serveDNS(t, "127.0.0.1", "udp tcp", withCode(dns.RcodeServerFailure)), health.Critical, []string{"with SERVFAIL"}},
		{"REFUSED", serveDNS(t, "127.0.0.1", "udp tcp", withCode(dns.RcodeRefused)), health.Critical, []string{"with REFUSED"}},
		{"empty", serveDNS(t, "127.0.0.1", "udp tcp", dnsZone(map[string][]string{apiName + " TXT": {"x"}})), health.Critical, []string{"with an empty answer"}},
		{"wrong address", serveDNS(t, "127.0.0.1", "udp tcp", dnsZone(map[string][]string{apiName + " A": {"10.66.6.6"}})), health.Critical, []string{"with 10.66.6.6, not 10.96.0.1, fd00::1"}},
		{"garbage", serveBytes(t, junk([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))), health.Critical, []string{"what came is no DNS message"}},
		{"short", serveBytes(t, junk([]byte("x"))), health.Critical, []string{"what came is no DNS message"}},
		{"another id", serveBytes(t, reply(func(m *dns.Msg) { m.Id++ })), health.Critical, []string{"another query id"}},
	}
	more := []struct {
		name   string
		server netip.AddrPort
		status health.Status
		words  []string
	}{
		{"another question", serveBytes(t, reply(func(m *dns.Msg) { m.Question[0].Name = "elsewhere." })), health.Critical, []string{"answers another question"}},
		{"an echo", serveBytes(t, func(q []byte) [][]byte { return [][]byte{q} }), health.Critical, []string{"a question, not an answer"}},
		{"huge", serveBytes(t, junk(bytes.Repeat([]byte{0xff}, 60000))), health.Critical, []string{"no DNS message"}},
		{"a flood", serveBytes(t, func([]byte) [][]byte { return slicesRepeat([]byte("no answer at all"), 200) }), health.Critical, []string{"no answer among 50 packets"}},
		{"another's records", serveBytes(t, reply(func(m *dns.Msg) {
			for _, rr := range m.Answer {
				rr.Header().Name = "elsewhere."
			}
		})), health.Critical, []string{"with an empty answer"}},
		{"an alias", serveDNS(t, "127.0.0.1", "udp tcp", func(query *dns.Msg, _ bool) *dns.Msg {
			m := new(dns.Msg).SetReply(query)
			for _, text := range []string{query.Question[0].Name + " 5 CNAME alias.", "alias. 5 A " + apiAddress} {
				rr, err := dns.NewRR(text)
				if err != nil {
					panic(err)
				}
				m.Answer = append(m.Answer, rr)
			}
			return m
		}), health.OK, nil},
		{"TCP that drips", serveDrip(t), health.Warning, []string{"answers over UDP, but not over TCP", "no answer within"}},
	}
	if at, err := net.Listen("tcp", "[::1]:0"); err == nil {
		_ = at.Close()
		more = append(more, more[0])
		more[len(more)-1].name, more[len(more)-1].server = "over IPv6", serveDNS(t, "::1", "udp tcp", wellZone)
		more[len(more)-1].status, more[len(more)-1].words = health.OK, nil
	}
	for _, group := range [][]struct {
		name   string
		server netip.AddrPort
		status health.Status
		words  []string
	}{cases, more} {
		s := dnsAsking()
		s.QueryTimeout = time.Second
		for _, c := range group {
			s.ClusterDNS = append(s.ClusterDNS, c.server.String())
		}
		got := run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout)
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				subject := c.server.String()
				got.expect(t, subject, c.status, append(c.words, "")...)
				t.Log(got.results[subject].Reason)
				for _, protocol := range []string{"udp", "tcp"} {
					if good := got.value(t, &dnsSuccess, subject, "cluster", protocol) == 1; c.status == health.OK && !good {
						t.Errorf("no success over %s", protocol)
					}
				}
				if c.status != health.OK && got.value(t, &dnsSuccess, subject, "cluster", "udp")+got.value(t, &dnsSuccess, subject, "cluster", "tcp") == 2 {
					t.Error("exported as a success")
				}
				if alive := got.value(t, &dnsUp, subject) == 1; alive == strings.Contains(got.results[subject].Reason, "does not answer:") {
					t.Errorf("up is %v", alive)
				}
			})
		}
	}
}

func slicesRepeat(packet []byte, n int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		all[i] = packet
	}
	return all
}

// serveDrip answers well over UDP, and over TCP a byte now and then.
func serveDrip(t *testing.T) netip.AddrPort {
	at := serveDNS(t, "127.0.0.1", "udp", wellZone)
	l, err := net.Listen("tcp", at.String())
	must(t, err)
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			for open := true; open; {
				select {
				case <-stop:
					open = false
				case <-time.After(100 * time.Millisecond):
					_, err := conn.Write([]byte{1}) // 257 bytes are announced
					open = err == nil
				}
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		close(stop)
		_ = l.Close()
		<-done
	})
	return at
}

func TestDNSLatency(t *testing.T) {
	t.Run("slow", func(t *testing.T) {
		server := serveDNS(t, "127.0.0.1", "udp tcp", slowly(300*time.Millisecond, wellZone))
		s := dnsAsking(server)
		s.Thresholds.Latency.Warning, s.Thresholds.OutsideLatency.Warning = 250*time.Millisecond, 250*time.Millisecond
		got := run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout)
		got.expect(t, server.String(), health.Warning, "took 0.3", "for "+apiName, "for the outside name")
		if e := got.results[server.String()].Evidence; e.Value < 0.3 || e.Threshold != 0.25 || e.Unit != "seconds" {
			t.Errorf("evidence %+v", e)
		}
		if got.value(t, &dnsLast, server.String(), "cluster", "udp") < 0.3 {
			t.Error("latency")
		}
	})
}

// TestDNSOutside holds that a room without a way out is quiet, and that a
// way out that is lost is not.
func TestDNSOutside(t *testing.T) {
	inside := dnsZone(map[string][]string{apiName + " A": {apiAddress}})
	var lost atomic.Bool
	server := serveDNS(t, "127.0.0.1", "udp tcp", func(query *dns.Msg, udp bool) *dns.Msg {
		if lost.Load() && strings.HasPrefix(query.Question[0].Name, outsideName) {
			return withCode(dns.RcodeServerFailure)(query, udp)
		}
		return wellZone(query, udp)
	})
	other := serveDNS(t, "127.0.0.1", "udp tcp", inside)

	t.Run("never was one", func(t *testing.T) {
		got := run(t, newDNS(t, dnsAsking(other), t.TempDir(), dnsPort), dnsTimeout)
		got.expect(t, other.String(), health.OK)
		if got.value(t, &dnsSuccess, other.String(), "outside", "udp") != 0 || got.value(t, &dnsCode, other.String(), "outside", "udp") != dns.RcodeNameError {
			t.Error("the failure is not exported")
		}
	})
	t.Run("required", func(t *testing.T) {
		s := dnsAsking(other)
		s.OutsideRequired = true
		run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout).
			expect(t, other.String(), health.Warning, "does not resolve the outside name example.com: NXDOMAIN")
	})
	t.Run("one of two", func(t *testing.T) {
		got := run(t, newDNS(t, dnsAsking(server, other), t.TempDir(), dnsPort), dnsTimeout)
		got.expect(t, server.String(), health.OK)
		got.expect(t, other.String(), health.Warning, "does not resolve the outside name")
	})
	t.Run("switched off", func(t *testing.T) {
		s := dnsAsking(other)
		s.OutsideName = ""
		got := run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout)
		got.expect(t, other.String(), health.OK)
		for _, sample := range got.samples {
			if len(sample.Labels) > 1 && sample.Labels[1] == "outside" {
				t.Errorf("asked: %+v", sample)
			}
		}
	})
	t.Run("wrong answers", func(t *testing.T) {
		for address, words := range map[string]string{"0.0.0.0": "which no other machine has", "127.0.0.1": "which no other machine has", "203.0.113.9": "not 192.0.2.0/24"} {
			liar := serveDNS(t, "127.0.0.1", "udp tcp", dnsZone(map[string][]string{apiName + " A": {apiAddress}, outsideName + " A": {address}}))
			s := dnsAsking(liar)
			if address == "203.0.113.9" {
				s.OutsideAddresses = []string{"192.0.2.0/24"}
			}
			run(t, newDNS(t, s, t.TempDir(), dnsPort), dnsTimeout).
				expect(t, liar.String(), health.Warning, "answers the outside name example.com with "+address, words)
		}
	})
	t.Run("lost", func(t *testing.T) {
		check := newDNS(t, dnsAsking(server), t.TempDir(), dnsPort)
		run(t, check, dnsTimeout).expect(t, server.String(), health.OK)
		lost.Store(true)
		run(t, check, dnsTimeout).expect(t, server.String(), health.Warning, "does not resolve the outside name example.com: SERVFAIL")
	})
}
