package meshtest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

var (
	addrA = netip.MustParseAddr("10.0.0.1")
	addrB = netip.MustParseAddr("10.0.0.2")
	portB = netip.AddrPortFrom(addrB, 80).String()
)

// pair is two hosts with a stream from a to b.
type pair struct {
	t       *testing.T
	network *Network
	a, b    *Host
	l       net.Listener
	c, d    net.Conn // a's end and b's
}

func connected(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, network: New(1)}
	p.a, p.b = p.network.Host(addrA), p.network.Host(addrB)
	var err error
	if p.l, err = p.b.Listen(portB); err != nil {
		t.Fatal(err)
	}
	if p.c, err = p.a.Dial(t.Context(), portB); err != nil {
		t.Fatal(err)
	}
	if p.d, err = p.l.Accept(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) say(c net.Conn, text string) {
	p.t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		p.t.Errorf("writing: %v", err)
	}
}

// hears reads once, for at most a second.
func (p *pair) hears(c net.Conn, want string, wantErr error) {
	p.t.Helper()
	b := make([]byte, 100)
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil && wantErr == nil {
		p.t.Error(err)
	}
	n, err := c.Read(b)
	if string(b[:n]) != want || !errors.Is(err, wantErr) {
		p.t.Errorf("read %q, %v; want %q, %v", b[:n], err, want, wantErr)
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(*pair){
		"whole": func(p *pair) {
			p.say(p.c, "hello")
			p.hears(p.d, "hello", nil)
			p.hears(p.d, "", os.ErrDeadlineExceeded)
			p.say(p.c, "end")
			_ = p.c.Close()
			p.hears(p.d, "end", nil)
			p.hears(p.d, "", io.EOF)
			if p.c.RemoteAddr().String() != portB {
				p.t.Errorf("dialed %v", p.c.RemoteAddr())
			}
		},
		"one way is cut": func(p *pair) {
			p.network.Set(addrA, addrB, Fault{Cut: true})
			p.say(p.c, "lost")
			p.hears(p.d, "", os.ErrDeadlineExceeded)
			p.say(p.d, "back")
			p.hears(p.c, "back", nil)
			p.network.Heal()
			p.hears(p.d, "lost", nil)
		},
		"cut for so long that the kernel gives up": func(p *pair) {
			p.network.Split([]netip.Addr{addrA}, []netip.Addr{addrB})
			p.say(p.c, "lost")
			time.Sleep(11 * time.Second)
			if _, err := p.c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				p.t.Errorf("writing: %v", err)
			}
			p.network.Heal()
			p.hears(p.d, "", os.ErrDeadlineExceeded)
		},
		"delay": func(p *pair) {
			p.network.Set(addrA, addrB, Fault{Delay: 2 * time.Second})
			p.say(p.c, "one")
			p.say(p.c, "two")
			p.hears(p.d, "", os.ErrDeadlineExceeded)
			time.Sleep(3 * time.Second)
			p.hears(p.d, "one", nil)
			p.hears(p.d, "two", nil)
		},
		"a writer waits for a reader": func(p *pair) {
			_ = p.c.SetWriteDeadline(time.Now().Add(time.Second))
			if n, err := p.c.Write(make([]byte, window+1)); n != window || !errors.Is(err, os.ErrDeadlineExceeded) {
				p.t.Errorf("wrote %d, %v", n, err)
			}
		},
		"crash": func(p *pair) {
			p.b.Crash()
			p.hears(p.c, "", syscall.ECONNRESET)
			p.hears(p.d, "", net.ErrClosed)
			if _, err := p.a.Dial(p.t.Context(), portB); !errors.Is(err, syscall.ECONNREFUSED) {
				p.t.Errorf("dialing: %v", err)
			}
		},
		"power": func(p *pair) {
			p.b.PowerOff()
			p.hears(p.c, "", os.ErrDeadlineExceeded)
			p.say(p.c, "x")
			ctx, cancel := context.WithTimeout(p.t.Context(), 3*time.Second)
			defer cancel()
			if _, err := p.a.Dial(ctx, portB); !errors.Is(err, os.ErrDeadlineExceeded) {
				p.t.Errorf("dialing: %v", err)
			}
			// The machine comes back and knows nothing of the stream.
			p.network.Host(addrB)
			p.say(p.c, "x")
			p.hears(p.c, "", syscall.ECONNRESET)
		},
		"freeze": func(p *pair) {
			p.b.Freeze()
			if _, err := p.a.Dial(p.t.Context(), portB); err != nil {
				p.t.Error(err)
			}
			p.say(p.c, "x")
			p.hears(p.d, "", os.ErrDeadlineExceeded)
			p.b.Thaw()
			p.hears(p.d, "x", nil)
		},
		"another address": func(p *pair) {
			p.b.Move(netip.MustParseAddr("10.0.0.3"))
			p.say(p.c, "x")
			p.hears(p.d, "", os.ErrDeadlineExceeded)
			if _, err := p.a.Dial(p.t.Context(), "10.0.0.3:80"); err != nil {
				p.t.Error(err)
			}
		},
		"closed listener": func(p *pair) {
			_ = p.l.Close()
			if _, err := p.l.Accept(); !errors.Is(err, net.ErrClosed) {
				p.t.Errorf("accepting: %v", err)
			}
			p.say(p.c, "x")
			p.hears(p.d, "x", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f(connected(t))
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestPackets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := n.Host(addrA), n.Host(addrB)
		ta, errA := a.Gossip(addrA.String() + ":7996")
		tb, errB := b.Gossip(addrB.String() + ":7996")
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if _, err := a.Gossip(addrA.String() + ":7996"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a port taken twice: %v", err)
		}
		send := func(count int) (arrived int) {
			t.Helper()
			for range count {
				if _, err := ta.WriteTo([]byte("x"), "10.0.0.2:7996"); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(time.Second)
			for len(tb.PacketCh()) > 0 {
				p := <-tb.PacketCh()
				if p.From.String() != "10.0.0.1:7996" {
					t.Errorf("from %v", p.From)
				}
				arrived++
			}
			return arrived
		}
		if got := send(100); got != 100 {
			t.Errorf("%d of 100 packets arrived", got)
		}
		n.Set(addrA, addrB, Fault{Loss: 0.5, Delay: 500 * time.Millisecond})
		if got := send(100); got < 30 || got > 70 {
			t.Errorf("%d of 100 packets arrived, half were to be lost", got)
		}
		n.Set(addrA, addrB, Fault{Cut: true})
		if got := send(1); got != 0 {
			t.Error("a packet passed a cut")
		}
		n.Heal()
		b.PowerOff()
		if got := send(1); got != 0 {
			t.Error("a packet reached a dead host")
		}
		if _, err := tb.WriteTo([]byte("x"), "10.0.0.1:7996"); err == nil || !strings.Contains(err.Error(), "ended") {
			t.Errorf("a dead host sent: %v", err)
		}
		for _, tr := range []memberlist.Transport{ta, tb} {
			if err := tr.Shutdown(); err != nil {
				t.Error(err)
			}
		}
	})
}
