package collectors

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestBadInputOfManyAddresses asks by a name that stands for more addresses
// than can be tried, of which none answers.
func TestBadInputOfManyAddresses(t *testing.T) {
	away(t)
	port, err := real.FreePort()
	must(t, err)
	const addresses, tried = 64, 4
	for i := range tried {
		blackHole(t, fmt.Sprintf("127.9.9.%d", i+1), port)
	}
	resolve(t, func(name string) (ips []net.IP) {
		for i := range addresses {
			ips = append(ips, net.IPv4(127, 9, 9, byte(i+1)))
		}
		return ips
	})
	host := net.JoinHostPort("many.grapevine.test", strconv.Itoa(port))
	for name, check := range map[string]Settings{
		"apiserver": func() Settings { s := defaultAPIServerSettings(); s.Endpoints = []string{"https://" + host}; return s }(),
		"etcd":      func() Settings { s := defaultEtcdSettings(); s.Endpoints = []string{"http://" + host}; return s }(),
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, newCheck(t, check), time.Second)
			got.expect(t, host, health.Critical, "does not answer: no answer within 0.", "no connection, 1 of the 64 addresses of its name were tried")
			phase := &apiPhase
			if name == "etcd" {
				phase = &etcdPhase
			}
			if dial := got.value(t, phase, host, "dial"); dial <= 0 {
				t.Errorf("dialing took %v s", dial)
			}
			got.value(t, phase, host, "resolve")
			t.Logf("%v: %s", got.took, got.results[host].Reason)
		})
	}
}

// blackHole takes an address and lets no connection come to an end: its queue
// is full, and the kernel drops what comes after.
func blackHole(t *testing.T, ip string, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte(net.ParseIP(ip).To4())}))
	must(t, unix.Listen(fd, 0))
	for range 10 {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip, strconv.Itoa(port)), 200*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the queue does not fill")
}

// resolve has a name server of the test answer all names, until its end.
func resolve(t *testing.T, addresses func(name string) []net.IP) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		reply := new(dns.Msg)
		reply.SetReply(question)
		reply.Compress = true
		if q := question.Question[0]; q.Qtype == dns.TypeA {
			for _, ip := range addresses(q.Name) {
				reply.Answer = append(reply.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: ip})
			}
		}
		_ = w.WriteMsg(reply)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ActivateAndServe() })
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = old
		_ = server.Shutdown()
		_ = conn.Close()
		serving.Wait()
	})
}
