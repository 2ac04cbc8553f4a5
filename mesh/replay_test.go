package mesh

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/mesh/exchange"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// tape is a network that keeps what a node sends to address, as somebody on
// the wire sees it.
type tape struct {
	Network
	gossip, exchange string // whose; host:port

	mu      sync.Mutex // guards all below
	packets [][]byte
	streams map[string][]*[]byte // by address: what was written to each connection
}

func (r *tape) stream(address string) *[]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.streams == nil {
		r.streams = map[string][]*[]byte{}
	}
	b := new([]byte)
	r.streams[address] = append(r.streams[address], b)
	return b
}

// taped is a connection that is being recorded.
type taped struct {
	net.Conn
	tape *tape
	to   *[]byte
}

func (c taped) Write(b []byte) (int, error) {
	c.tape.mu.Lock()
	*c.to = append(*c.to, b...)
	c.tape.mu.Unlock()
	return c.Conn.Write(b)
}

func (r *tape) Dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := r.Network.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return taped{c, r, r.stream(address)}, nil
}

type tapedGossip struct {
	memberlist.Transport
	tape *tape
}

func (r *tape) Gossip(address string) (memberlist.Transport, error) {
	t, err := r.Network.Gossip(address)
	return tapedGossip{t, r}, err
}

func (g tapedGossip) WriteTo(b []byte, to string) (time.Time, error) {
	if to == g.tape.gossip {
		g.tape.mu.Lock()
		g.tape.packets = append(g.tape.packets, append([]byte(nil), b...))
		g.tape.mu.Unlock()
	}
	return g.Transport.WriteTo(b, to)
}

func (g tapedGossip) DialTimeout(to string, d time.Duration) (net.Conn, error) {
	c, err := g.Transport.DialTimeout(to, d)
	if err != nil {
		return nil, err
	}
	return taped{c, g.tape, g.tape.stream(to)}, nil
}

// copied is what is on the tape now. Who plays must not hold the lock: virtual
// time stands still while somebody waits for it.
func (r *tape) copied() (packets [][]byte, streams map[string][][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	streams = map[string][][]byte{}
	for address, all := range r.streams {
		for _, b := range all {
			streams[address] = append(streams[address], slices.Clone(*b))
		}
	}
	return slices.Clone(r.packets), streams
}

// play sends all that was recorded once more, from a host of its own.
func (r *tape) play(t *bubble) (packets, gossips, exchanges int) {
	t.Helper()
	sent, streams := r.copied()
	from := t.host()
	udp := t.port(from)
	for _, p := range sent {
		if _, err := udp.WriteTo(p, r.gossip); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	for _, address := range []string{r.gossip, r.exchange} {
		for _, b := range streams[address] {
			c, err := from.Dial(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = c.Write(b) // it may hang up in the middle
			_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}
	return len(sent), len(streams[r.gossip]), len(streams[r.exchange])
}

// What somebody has recorded on the wire and plays back later changes nothing:
// neither the words of the nodes, nor who is a member, nor the keys.
func TestReplayChangesNothing(t *testing.T) {
	virtually(t, func(t *bubble) {
		ca := newAuthority(t)
		keys := [][]byte{gossipKey(1)}
		config := func(name string) Config {
			cfg := t.config(name)
			cfg.TLS, cfg.GossipKeys = ca.issue(t, name), keys
			return cfg
		}
		a := start(t, config("a"))
		cfgB, cfgC := config("b"), config("c")
		r := &tape{Network: cfgB.Network, gossip: a.GossipAddr(), exchange: a.ExchangeAddr()}
		cfgB.Network, cfgB.Join, cfgC.Join = r, []string{a.GossipAddr()}, []string{a.GossipAddr()}
		b, c := start(t, cfgB), start(t, cfgC)
		for _, p := range []*peer{a, b, c} {
			p.sees("a", "b", "c")
		}
		// What is on the tape: a key comes and goes, c leaves, and with it all
		// that the first minutes of a cluster consist of.
		if _, err := b.AddKey(t.Context(), gossipKey(2)); err != nil {
			t.Fatal(err)
		}
		first := a.store.Frames([]string{"b", "c"}, 1<<20)
		if k, err := b.RemoveKey(t.Context(), Fingerprint(gossipKey(2)), false); err != nil || len(k.Keys) != 1 {
			t.Fatal(k, err)
		}
		c.stop()
		a.sees("a", "b")
		cfgC.Registry = prometheus.NewRegistry()
		c = start(t, cfgC)
		time.Sleep(30 * time.Second)
		b.stop()
		cfgB.Network, cfgB.Registry = r.Network, prometheus.NewRegistry()
		b = start(t, cfgB)
		peers := []*peer{a, b, c}
		for _, p := range peers {
			p.sees("a", "b", "c")
		}

		stop := watchLosses(peers)
		picture, before := a.picture(), a.View()
		handshakes := a.count("grapevine_mesh_refused_total", exchange.ReasonHandshake)
		packets, gossips, exchanges := r.play(t)
		t.Logf("played back: %d packets, %d connections of the gossip, %d of the exchange", packets, gossips, exchanges)
		if packets < 50 || gossips == 0 || exchanges == 0 {
			t.Error("there is too little on the tape")
		}
		time.Sleep(3 * time.Second)
		// What serf says of a member is a hint. An old packet may make it
		// call a living one failed until that one objects.
		lost := slices.DeleteFunc(stop(), func(what string) bool { return strings.Contains(what, " sees ") })
		if len(lost) > 0 {
			t.Errorf("while the tape played:\n%v", lost)
		}
		a.eventually("shows what it showed before: "+picture, func() (string, bool) {
			got := a.picture()
			return got, got == picture
		})
		after := a.View()
		for _, n := range before.Nodes {
			if now, _ := after.Node(n.Name); now.Epoch != n.Epoch || now.Version < n.Version+2 {
				t.Errorf("%s went from %d.%d to %d.%d", n.Name, n.Epoch, n.Version, now.Epoch, now.Version)
			}
		}
		for _, p := range peers {
			if !p.keyring.intact() || len(p.GossipKeys()) != 1 {
				t.Errorf("%s holds %d keys", p.cfg.Node, len(p.GossipKeys()))
			}
		}
		if n := a.count("grapevine_mesh_refused_total", exchange.ReasonHandshake) - handshakes; n < float64(exchanges) {
			t.Errorf("of %d connections that were played back %v were refused", exchanges, n)
		}

		// Nor what a member hands on that an earlier life of a node has said.
		if out := a.store.Apply(state.Delta{Frames: first}); out.Applied > 0 || out.Old != len(first) {
			t.Errorf("words of an earlier life: %+v", out)
		}
	})
}
