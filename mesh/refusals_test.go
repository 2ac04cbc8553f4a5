package mesh

import (
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// flood is how often a stranger tries: often enough to fill a log.
const flood = 15

// picture is what must not change: who is known, and in which epoch.
func (p *peer) picture() string {
	s := ""
	for _, n := range p.View().Nodes {
		s += fmt.Sprintf("%s epoch %d up %v; ", n.Name, n.Epoch, n.Up)
	}
	return s
}

// Whoever has no business here is refused, counted under a word that says why,
// logged once, and leaves nothing behind.
func TestStrangersAreRefused(t *testing.T) {
	virtually(t, func(t *bubble) {
		key := gossipKey(1)
		ca, peers := keyed(t, [][]byte{key}, "a", "b", "c")
		a, c := peers[0], peers[2]
		theirs := newAuthority(t)
		hour := time.Hour
		until := func(files *TLSFiles, node string, from, to time.Duration) *TLSFiles {
			ca.renew(t, files, node, time.Now().Add(from), time.Now().Add(to))
			return files
		}
		b := showing(t, ca.issue(t, "b"))
		with := func(change func(*tls.Config)) *tls.Config {
			config := b.Clone()
			change(config)
			return config
		}
		// A frame key that the certificate of "b" vouches for.
		id, err := newIdentity("test", "b", ca.issue(t, "b"), nil)
		if err != nil {
			t.Fatal(err)
		}
		identityOf := func(p *peer) []byte { return p.trust.identity.Load().encoded }
		ghost, err := newIdentity("test", "ghost", ca.issue(t, "ghost"), nil)
		if err != nil {
			t.Fatal(err)
		}
		outside := t.host()
		says := func(name string, encoded []byte, key ed25519.PrivateKey) func() *state.Store {
			return func() *state.Store { return words(t, name, encoded, key) }
		}

		for name, tc := range map[string]struct {
			who    stranger
			reason string
			silent bool // not logged: it passes by itself
		}{
			"wrong authority":                     {stranger{"test", "b", showing(t, theirs.issue(t, "b")), nil}, "authority", false},
			"expired":                             {stranger{"test", "b", showing(t, until(ca.issue(t, "b"), "b", -2*hour, -hour)), nil}, "expired", false},
			"not yet valid":                       {stranger{"test", "b", showing(t, until(ca.issue(t, "b"), "b", hour, 2*hour)), nil}, "not_yet_valid", false},
			"another's name":                      {stranger{"test", "c", b, nil}, "identity", false},
			"this node's name":                    {stranger{"test", "a", showing(t, ca.issue(t, "a")), nil}, "own_name", false},
			"not in the gossip":                   {stranger{"test", "z", showing(t, ca.issue(t, "z")), nil}, "not_member", true},
			"another cluster":                     {stranger{"prod", "b", b, nil}, "cluster", false},
			"TLS 1.2":                             {stranger{"test", "b", with(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }), nil}, "handshake", false},
			"a frame signed by other":             {stranger{"test", "b", b, says("c", identityOf(c), id.frameKey)}, "signature", false},
			"a frame under another's certificate": {stranger{"test", "b", b, says("c", id.encoded, id.frameKey)}, "identity", false},
			"a frame of who is no member":         {stranger{"test", "b", b, says("ghost", ghost.encoded, ghost.frameKey)}, "not_member", true},
		} {
			t.Log(name)
			refused := func() float64 { return a.count("grapevine_mesh_refused_total", tc.reason) }
			lines := func() int { return strings.Count(a.logs.String(), "reason="+tc.reason+" ") }
			before, picture, logged, began := refused(), a.picture(), lines(), time.Now()
			for range flood {
				tc.who.calls(t, outside, "a", a.ExchangeAddr())
			}
			if n := refused() - before; n < flood/2 {
				t.Errorf("%d calls were refused for %s %v times; the log:\n%s", flood, tc.reason, n, a.logs)
			}
			most := 1 + int(time.Since(began)/time.Minute)
			switch n := lines(); {
			case tc.silent && n > 0:
				t.Errorf("it was logged %d times", n)
			case !tc.silent && (n == 0 || n-logged > most):
				t.Errorf("it was logged %d times, and %d times before", n, logged)
			}
			if got := a.picture(); got != picture {
				t.Errorf("the view was %s, and is %s", picture, got)
			}
			view := a.View()
			if n, _ := view.Node("c"); n.Snapshot == nil || n.Snapshot.Values[0] == 666 {
				t.Errorf("c's word is %+v", n.Snapshot)
			}
		}

		t.Log("a frame in this node's name")
		{
			stranger{"test", "b", b, says("a", id.encoded, id.frameKey)}.calls(t, outside, "a", a.ExchangeAddr())
			a.refuses("own_name")
			c.eventually("hears a in an epoch after that", func() (string, bool) {
				view := c.View()
				n, _ := view.Node("a")
				return c.picture(), n.Up && n.Epoch == 1002 && n.Snapshot.Values[0] != 666
			})
		}
		t.Log("plain text")
		{
			before := a.count("grapevine_mesh_refused_total", "handshake")
			for range flood {
				conn, err := outside.Dial(t.Context(), a.ExchangeAddr())
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "GET / HTTP/1.1\r\n\r\n")
				_, _ = conn.Read(make([]byte, 100))
				_ = conn.Close()
			}
			a.eventually("refuses them", func() (string, bool) {
				n := a.count("grapevine_mesh_refused_total", "handshake") - before
				return fmt.Sprint(n), n >= flood
			})
			if n := strings.Count(a.logs.String(), "reason=handshake "); n != 1 {
				t.Errorf("logged %d times", n)
			}
		}
		t.Log("wrong gossip key")
		{
			cfg := t.config("deaf")
			cfg.TLS, cfg.GossipKeys, cfg.Join = ca.issue(t, "deaf"), [][]byte{gossipKey(9)}, []string{a.GossipAddr()}
			picture := a.picture()
			deaf := start(t, cfg)
			udp := t.port(outside)
			before := a.count("grapevine_mesh_refused_total", reasonGossipKey)
			for range 10 * flood {
				if _, err := udp.WriteTo([]byte(strings.Repeat("x", 100)), a.GossipAddr()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Millisecond)
			}
			a.eventually("refuses them", func() (string, bool) {
				n := a.count("grapevine_mesh_refused_total", reasonGossipKey) - before
				return fmt.Sprint(n), n > flood
			})
			deaf.sees("deaf")
			if n := strings.Count(a.logs.String(), "reason="+reasonGossipKey+" "); n != 1 {
				t.Errorf("logged %d times", n)
			}
			if got := a.picture(); got != picture {
				t.Errorf("the view was %s, and is %s", picture, got)
			}
		}
		t.Log("another cluster in the gossip")
		{
			cfg := t.config("foreign")
			cfg.Cluster, cfg.GossipKeys, cfg.Join = "prod", [][]byte{key}, []string{a.GossipAddr()}
			picture, logged := a.picture(), strings.Count(a.logs.String(), `msg="refused in the gossip" reason=cluster`)
			foreign := start(t, cfg)
			a.eventually("refuses it", func() (string, bool) {
				n := strings.Count(a.logs.String(), `msg="refused in the gossip" reason=cluster`)
				return fmt.Sprint(n), n == logged+1
			})
			foreign.sees("foreign")
			if got := a.picture(); got != picture {
				t.Errorf("the view was %s, and is %s", picture, got)
			}
		}
		for _, p := range peers {
			p.sees("a", "b", "c")
		}
	})
}
