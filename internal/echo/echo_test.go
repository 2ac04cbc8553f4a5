package echo

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = []byte("0123456789abcdef")

// always is a keyring that does not change.
func always(keys ...[]byte) Keys { return func() [][]byte { return keys } }

// The keys change while nodes ask each other: whoever holds the key of a
// request answers with it, in whatever order the nodes change.
func TestKeysChange(t *testing.T) {
	t.Parallel()
	oldKey, newKey := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	var held atomic.Pointer[[][]byte]
	hold := func(keys ...[]byte) { held.Store(&keys) }
	hold(oldKey)
	r := respond(t, "127.0.0.1:0", Config{Node: "n2", Keys: func() [][]byte { return *held.Load() }})
	answers := func(key []byte) bool {
		t.Helper()
		p := Prober{Node: "n1", Keys: always(key)}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		b, err := p.Burst(ctx, r.Addr(), 1, 0)
		_, node, getErr := p.Get(within(t, 20*time.Second), r.Addr())
		if udp, tcp := err == nil && len(b.Answers) == 1, getErr == nil && node == "n2"; udp != tcp {
			t.Errorf("over UDP %v (%v), over TCP %v (%v)", udp, err, tcp, getErr)
		}
		return getErr == nil
	}
	for _, step := range []struct {
		held     [][]byte
		old, new bool
	}{
		{[][]byte{oldKey}, true, false},
		{[][]byte{oldKey, newKey}, true, true},
		{[][]byte{newKey, oldKey}, true, true},
		{[][]byte{newKey}, false, true},
	} {
		hold(step.held...)
		if answers(oldKey) != step.old || answers(newKey) != step.new {
			t.Errorf("holding %q it does not answer as it should", step.held)
		}
	}
}

// respond runs a responder until the test ends.
func respond(t testing.TB, address string, cfg Config) *Responder {
	t.Helper()
	r := NewResponder(cfg)
	if err := r.Listen(address); err != nil {
		t.Fatal(err)
	}
	runResponder(t, r)
	return r
}

func runResponder(t testing.TB, r *Responder) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// at is the responder's port at another address.
func at(r *Responder, host string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(host), r.Addr().Port())
}

func TestAsking(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, listen, ask string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1"},
		{"IPv6", "[::1]:0", "::1"},
		{"IPv4 on all addresses", ":0", "127.0.0.1"},
		{"another address of this node", ":0", "127.7.7.7"}, // an answer from 127.0.0.1 would not be seen
		{"another address of this node, IPv4 only", "0.0.0.0:0", "127.7.7.7"},
		{"IPv6 on all addresses", ":0", "::1"},
		{"IPv4 mapped to IPv6", ":0", "::ffff:127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.ask == "::1" {
				l, err := net.Listen("tcp", "[::1]:0")
				if err != nil {
					t.Skip("no IPv6 on this machine")
				}
				_ = l.Close()
			}
			r := respond(t, c.listen, Config{Node: "n2", Keys: always(secret)})
			p, addr, ctx := Prober{Node: "n1", Keys: always(secret)}, at(r, c.ask), within(t, 20*time.Second)
			b, err := p.Burst(ctx, addr, 5, time.Millisecond)
			if err != nil || b.Sent != 5 || len(b.Answers) != 5 || b.Refused || b.Err != nil {
				t.Fatalf("Burst: %+v, %v", b, err)
			}
			for i, a := range b.Answers {
				if a.Node != "n2" || a.RTT < 0 || a.RTT > 10*time.Second || a.Offset.Abs() > a.RTT/2+time.Millisecond {
					t.Errorf("answer %d: %+v", i, a)
				}
			}
			if n, err := p.Arrived(ctx, addr, b.Session); n != 5 || err != nil {
				t.Errorf("Arrived: %d, %v", n, err)
			}
			if n, err := p.Arrived(ctx, addr, b.Session+1); n != 0 || err != nil {
				t.Errorf("Arrived of no session: %d, %v", n, err)
			}
			for _, both := range []bool{false, true} {
				for _, size := range []int{Smallest(addr.Addr()), 1500, 65535} {
					if got, err := p.Pass(ctx, addr, size, both); got != Passed || err != nil {
						t.Errorf("Pass %d: %v, %v", size, got, err)
					}
				}
			}
			if _, err := p.Connect(ctx, addr); err != nil {
				t.Error(err)
			}
			if _, node, err := p.Get(ctx, addr); node != "n2" || err != nil {
				t.Errorf("Get: %q, %v", node, err)
			}
		})
	}
}

// A name has up to 253 bytes; a longer one loses its end.
func TestLongNames(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("n", 300)
	r := respond(t, "127.0.0.1:0", Config{Node: name})
	b, err := Prober{Node: name}.Burst(within(t, 20*time.Second), r.Addr(), 1, 0)
	if err != nil || len(b.Answers) != 1 || b.Answers[0].Node != name[:255] {
		t.Errorf("Burst: %+v, %v", b, err)
	}
}

func TestShiftedClock(t *testing.T) {
	t.Parallel()
	for _, shift := range []time.Duration{-3 * time.Hour, 1500 * time.Millisecond, 56 * 365 * 24 * time.Hour} {
		r := respond(t, "127.0.0.1:0", Config{Node: "n2", Now: func() time.Time { return time.Now().Add(shift) }})
		b, err := Prober{}.Burst(within(t, 20*time.Second), r.Addr(), 3, 0)
		if err != nil || len(b.Answers) != 3 {
			t.Fatalf("%+v, %v", b, err)
		}
		for _, a := range b.Answers {
			if off := (a.Offset - shift).Abs(); off > a.RTT/2+100*time.Microsecond {
				t.Errorf("shifted by %v: %+v is off by %v", shift, a, off)
			}
		}
	}
}

// What the other side needs to read a packet is not on the wire's account.
func TestOwnDelayIsNotCounted(t *testing.T) {
	t.Parallel()
	slow := make(chan struct{}, 1)
	slow <- struct{}{}
	r := respond(t, "127.0.0.1:0", Config{Node: "n2", Now: func() time.Time {
		select {
		case <-slow:
			time.Sleep(300 * time.Millisecond)
		default:
		}
		return time.Now()
	}})
	b, err := Prober{}.Burst(within(t, 20*time.Second), r.Addr(), 3, time.Millisecond)
	if err != nil || len(b.Answers) != 3 {
		t.Fatalf("%+v, %v", b, err)
	}
	for _, a := range b.Answers { // the first was worked on for long, the others lay in the socket
		if a.RTT > 100*time.Millisecond {
			t.Errorf("%+v counts the delay of the responder", a)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	// A port that is bound for TCP only stays free for UDP.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	ctx := within(t, 20*time.Second)
	b, err := Prober{}.Burst(ctx, addr, 3, time.Millisecond)
	if err != nil || !b.Refused || len(b.Answers) != 0 || !errors.Is(b.Err, syscall.ECONNREFUSED) {
		t.Errorf("Burst: %+v, %v", b, err)
	}
	if _, err := (Prober{}).Arrived(ctx, addr, 1); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Arrived: %v", err)
	}
	if got, err := (Prober{}).Pass(ctx, addr, 500, true); got == Passed || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Pass: %v, %v", got, err)
	}
	_ = l.Close()
	if _, err := (Prober{}).Connect(ctx, addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Connect: %v", err)
	}
	if _, _, err := (Prober{}).Get(ctx, addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Get: %v", err)
	}
}

// A socket that takes everything and says nothing, and one whose answers are
// signed with another key.
func TestSilence(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	reg := prometheus.NewRegistry()
	other := respond(t, "127.0.0.1:0", Config{Node: "n2", Keys: always([]byte("another")), Registry: reg})
	for name, addr := range map[string]netip.AddrPort{
		"silent": silent.LocalAddr().(*net.UDPAddr).AddrPort(), "another key": other.Addr(),
	} {
		p := Prober{Node: "n1", Keys: always(secret)}
		b, err := p.Burst(within(t, 200*time.Millisecond), addr, 3, time.Millisecond)
		if err != nil || b.Sent != 3 || len(b.Answers) != 0 || b.Refused {
			t.Errorf("%s: Burst: %+v, %v", name, b, err)
		}
		if _, err := p.Arrived(within(t, 300*time.Millisecond), addr, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: Arrived: %v", name, err)
		}
		if got, err := p.Pass(within(t, 100*time.Millisecond), addr, 1400, true); got != Silent || err != nil {
			t.Errorf("%s: Pass: %v, %v", name, got, err)
		}
	}
	if _, _, err := (Prober{Keys: always(secret)}).Get(within(t, 20*time.Second), other.Addr()); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("Get with another key: %v", err)
	}
	if n := testutil.ToFloat64(other.requests.udp[outcomeUnsigned]); n < 5 {
		t.Errorf("%v unsigned requests counted", n)
	}
}

func TestImpossibleRequests(t *testing.T) {
	t.Parallel()
	ctx, addr := within(t, 20*time.Second), netip.MustParseAddrPort("127.0.0.1:9")
	for _, n := range []int{-1, 0, MaxBurst + 1} {
		if _, err := (Prober{}).Burst(ctx, addr, n, 0); err == nil {
			t.Errorf("burst of %d", n)
		}
	}
	for _, size := range []int{0, Smallest(addr.Addr()) - 1, 65536} {
		if _, err := (Prober{}).Pass(ctx, addr, size, true); err == nil {
			t.Errorf("packet of %d", size)
		}
	}
	if err := NewResponder(Config{}).Run(ctx); err == nil {
		t.Error("Run before Listen")
	}
	if err := NewResponder(Config{}).Listen("127.0.0.1"); err == nil {
		t.Error("Listen without a port")
	}
}
