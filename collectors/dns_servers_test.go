package collectors

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// dnsHandler answers one query; nil is silence.
type dnsHandler func(query *dns.Msg, udp bool) *dns.Msg

// serveDNS runs a server in this process. protocols are "udp", "tcp" or both;
// the other one is closed.
func serveDNS(t *testing.T, address, protocols string, handle dnsHandler) netip.AddrPort {
	t.Helper()
	port, err := real.FreePort()
	must(t, err)
	at := netip.AddrPortFrom(netip.MustParseAddr(address), uint16(port))
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		if reply := handle(query, w.LocalAddr().Network() == "udp"); reply != nil {
			_ = w.WriteMsg(reply)
		}
	})
	start := func(s *dns.Server) {
		s.Handler = handler
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		go func() { _ = s.ActivateAndServe() }()
		<-up
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	if strings.Contains(protocols, "udp") {
		conn, err := net.ListenPacket("udp", at.String())
		must(t, err)
		start(&dns.Server{PacketConn: conn})
	}
	if strings.Contains(protocols, "tcp") {
		l, err := net.Listen("tcp", at.String())
		must(t, err)
		start(&dns.Server{Listener: l})
	}
	return at
}

// serveBytes sends packets to whoever sends one.
func serveBytes(t *testing.T, packets func(query []byte) [][]byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		query := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			for _, p := range packets(query[:n]) {
				_, _ = conn.WriteTo(p, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// dnsZone answers from a table: "name TYPE" to addresses, and with NXDOMAIN
// what does not stand there under any type.
func dnsZone(table map[string][]string) dnsHandler {
	return func(query *dns.Msg, _ bool) *dns.Msg {
		q := query.Question[0]
		reply := new(dns.Msg).SetReply(query)
		known := false
		for key, values := range table {
			name, rrtype, _ := strings.Cut(key, " ")
			if dns.Fqdn(name) != q.Name {
				continue
			}
			known = true
			if rrtype != dns.TypeToString[q.Qtype] {
				continue
			}
			for _, value := range values {
				rr, err := dns.NewRR(fmt.Sprintf("%s 5 %s %s", q.Name, rrtype, value))
				if err != nil {
					panic(err)
				}
				reply.Answer = append(reply.Answer, rr)
			}
		}
		if !known {
			reply.Rcode = dns.RcodeNameError
		}
		return reply
	}
}

const (
	apiName     = "kubernetes.default.svc.cluster.local"
	apiAddress  = "10.96.0.1"
	outsideName = "example.com"
)

// wellZone is what CoreDNS answers.
var wellZone = dnsZone(map[string][]string{
	apiName + " A":     {apiAddress},
	outsideName + " A": {"192.0.2.7"},
})

func withCode(code int) dnsHandler {
	return func(query *dns.Msg, _ bool) *dns.Msg { return new(dns.Msg).SetRcode(query, code) }
}

func slowly(delay time.Duration, handle dnsHandler) dnsHandler {
	return func(query *dns.Msg, udp bool) *dns.Msg {
		time.Sleep(delay)
		return handle(query, udp)
	}
}

func silence(*dns.Msg, bool) *dns.Msg { return nil }

// truncating sends over UDP only that there is more.
func truncating(handle dnsHandler) dnsHandler {
	return func(query *dns.Msg, udp bool) *dns.Msg {
		if !udp {
			return handle(query, udp)
		}
		reply := new(dns.Msg).SetReply(query)
		reply.Truncated = true
		return reply
	}
}
