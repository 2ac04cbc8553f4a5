package echo

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/test/netsim"
)

// Two hosts with an overlay between them, and what can befall packets.
func TestBetweenHosts(t *testing.T) {
	t.Parallel()
	h := netsim.NeedHosts(t, netsim.HostsOptions{Count: 2, Overlay: true})
	n1, n2 := h.Host(1), h.Host(2)
	r := NewResponder(Config{Node: "n2", Keys: always(secret)})
	if err := n2.Do(func() error { return r.Listen(":0") }); err != nil {
		t.Fatal(err)
	}
	runResponder(t, r)
	p := Prober{Node: "n1", Keys: always(secret)}
	direct, direct6, overlay := at(r, n2.Addr.String()), at(r, n2.Addr6.String()), at(r, n2.Overlay.String())

	// on runs f on n1, with a little time.
	on := func(patience time.Duration, f func(ctx context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := n1.Do(func() error { return f(ctx) }); err != nil {
			t.Error(err)
		}
	}
	burst := func(addr netip.AddrPort, patience time.Duration, answers int) (b Burst) {
		t.Helper()
		on(patience, func(ctx context.Context) (err error) {
			b, err = p.Burst(ctx, addr, 4, time.Millisecond)
			return err
		})
		if len(b.Answers) != answers {
			t.Errorf("%d answers of %v, want %d", len(b.Answers), addr, answers)
		}
		return b
	}
	arrived := func(via netip.AddrPort, b Burst, want int) {
		t.Helper()
		on(20*time.Second, func(ctx context.Context) error {
			got, err := p.Arrived(ctx, via, b.Session)
			if got != want {
				t.Errorf("%d have arrived, want %d", got, want)
			}
			return err
		})
	}
	pass := func(addr netip.AddrPort, size int, both bool, want Outcome) {
		t.Helper()
		patience := 20 * time.Second
		if want == Silent {
			patience = 300 * time.Millisecond
		}
		on(patience, func(ctx context.Context) error {
			got, err := p.Pass(ctx, addr, size, both)
			if got != want {
				t.Errorf("%d bytes to %v: %v, want %v", size, addr, got, want)
			}
			return err
		})
	}

	for _, addr := range []netip.AddrPort{direct, direct6, overlay} {
		burst(addr, 20*time.Second, 4)
	}
	// The overlay fails, one way and the other: by the network below the
	// responder says which.
	h.DropOverlay(1, 2)
	arrived(direct, burst(overlay, 300*time.Millisecond, 0), 0)
	h.Heal()
	h.DropOverlay(2, 1)
	arrived(direct6, burst(overlay, 300*time.Millisecond, 0), 4)
	h.Heal()

	// A way that is slow in one direction leaves half of the round trip open,
	// and no more.
	h.Link(1, 2, netsim.Link{Delay: 200 * time.Millisecond})
	for _, a := range burst(direct, 20*time.Second, 4).Answers {
		if a.RTT < 200*time.Millisecond || a.Offset < 50*time.Millisecond || a.Offset > a.RTT/2+time.Millisecond {
			t.Errorf("slow on the way there: %+v", a)
		}
	}
	h.Heal()

	for _, addr := range []netip.AddrPort{direct, direct6} {
		pass(addr, 1500, true, Passed)
		pass(addr, 1501, true, TooLargeHere)
		h.Link(1, 2, netsim.Link{MTU: 1400})
		pass(addr, 1400, true, Passed)
		pass(addr, 1401, true, Silent)
		h.Heal()
		h.Link(2, 1, netsim.Link{MTU: 1400})
		pass(addr, 1401, true, Silent)
		pass(addr, 1401, false, Passed)
		h.Heal()
	}
	pass(overlay, 1450, true, Passed)
	pass(overlay, 1451, true, TooLargeHere)
	if err := n2.IP("link", "set", "eth0", "mtu", "1400"); err != nil {
		t.Fatal(err)
	}
	pass(direct, 1500, true, TooLargeBack)
	pass(direct, 1400, true, Passed)

	on(20*time.Second, func(ctx context.Context) error {
		route, err := RouteTo(ctx, overlay)
		if route != (Route{From: n1.Overlay, MTU: netsim.OverlayMTU}) {
			t.Errorf("route %+v", route)
		}
		return err
	})
	h.Link(0, 0, netsim.Link{Cut: true})
	on(20*time.Second, func(context.Context) error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if took, err := p.Connect(ctx, direct); err == nil || took > 10*time.Second {
			t.Errorf("Connect over a cut network: %v, %v", took, err)
		}
		return nil
	})
}
