package mesh

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/exchange"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

func TestMain(m *testing.M) {
	// What compresses gets ready when it is first used. That must not be in the
	// virtual time of one test, or the next one could not use it.
	if _, err := exchange.EncodeCast(0, state.Delta{Blobs: [][]byte{make([]byte, 4<<10)}}); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m,
		// go-metrics, which serf brings along, signals for good.
		goleak.IgnoreAnyFunction("github.com/hashicorp/go-metrics.(*InmemSignal).run"),
		// serf leaves it behind when its port is taken; the agent exits then.
		goleak.IgnoreAnyFunction("github.com/hashicorp/serf/serf.(*serfQueries).stream"))
}

func TestConvergesLeavesAndComesBack(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "a"))
	cfgB, cfgC := testConfig(t, "b"), testConfig(t, "c")
	cfgB.Join = []string{"127.0.0.1:1", a.GossipAddr()} // one seed is dead
	cfgC.Join = []string{a.GossipAddr()}
	b, c := start(t, cfgB), start(t, cfgC)
	for _, p := range []*peer{a, b, c} {
		p.sees("a", "b", "c")
	}
	// On a busy machine the gossip may doubt somebody for a while.
	a.eventually("counts three living members", func() (string, bool) {
		return fmt.Sprint(a.gossip.all()), a.count("grapevine_mesh_members", "alive") == 3
	})
	view := a.View()
	n, _ := view.Node("c")
	if n.Member.Exchange != c.ExchangeAddr() || n.Member.Web != "127.0.0.1:1" || n.Member.Version != "1.0.0" {
		t.Errorf("a thinks of c: %+v", n.Member)
	}
	if r := n.Snapshot.Results; len(r) != 1 || r[0].Status != health.Critical || r[0].Reason != "down" || time.Since(r[0].Observed) > time.Minute {
		t.Errorf("a has of c's verdicts: %+v", r)
	}

	// A clean goodbye is heard at once, and leaves nothing.
	c.stop()
	b.eventually("forgets c", func() (string, bool) {
		v := b.View()
		_, known := v.Node("c")
		return "still there", !known
	})

	// Back with nothing but what it remembers: no seed.
	time.Sleep(100 * time.Millisecond)
	cfgC = c.cfg
	cfgC.Join, cfgC.Registry = nil, prometheus.NewRegistry()
	again := start(t, cfgC)
	again.sees("a", "b", "c")
	a.sees("a", "b", "c")
	view = a.View()
	if n, _ := view.Node("c"); n.Epoch != 2 {
		t.Errorf("c came back in epoch %d, want 2", n.Epoch)
	}
}

// A node that falls silent without a goodbye is down when its word is
// overdue, and its series end; it is not forgotten.
func TestSilentNode(t *testing.T) {
	virtually(t, func(t *bubble) {
		a := start(t, t.config("a"))
		cfg := t.config("b")
		cfg.Join = []string{a.GossipAddr()}
		b, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Listen("127.0.0.1:1"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		if err := b.Publish(health.Snapshot{Node: "b", Schema: &health.Schema{}}); err != nil {
			t.Fatal(err)
		}
		a.sees("a", "b")
		// b goes on gossiping, so serf calls it alive: only its words have stopped.
		var downAt, endedAt time.Duration
		a.eventually("ends b", func() (string, bool) {
			v := a.View()
			n, _ := v.Node("b")
			if !n.Up && downAt == 0 {
				downAt = n.Age
			}
			endedAt = n.Age
			return fmt.Sprintf("%+v", n), n.Snapshot == nil
		})
		if downAt <= 5*time.Second || downAt > 5*time.Second+glance {
			t.Errorf("b counts as down at the age of %v, want 5s", downAt)
		}
		if endedAt <= 8*time.Second || endedAt > 8*time.Second+glance {
			t.Errorf("b's series ended at the age of %v, want 8s", endedAt)
		}
		v := a.View()
		if n, _ := v.Node("b"); n.Member.State != MemberAlive || n.Up {
			t.Errorf("b: %+v", n)
		}
	})
}

// What comes in on the exchange port from somebody who is no node.
func TestGarbageOnTheExchange(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "a"))
	a.sees("a")

	raw, err := net.Dial("tcp", a.ExchangeAddr())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(raw, "GET / HTTP/1.1\r\n\r\n")
	a.refuses("handshake")
	_ = raw.Close()

	stranger := testConfig(t, "stranger")
	st, err := openStorage(stranger.StoragePath, stranger.Logger)
	if err != nil {
		t.Fatal(err)
	}
	id, err := newIdentity("test", "stranger", nil, st)
	if err != nil {
		t.Fatal(err)
	}
	send := func(b []byte) {
		t.Helper()
		c, err := tls.Dial("tcp", a.ExchangeAddr(), tlsConfig(func() *identity { return id }))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(6 * time.Second))
		if n, err := c.Read(make([]byte, 1000)); err == nil && n > 6+200 {
			t.Errorf("a stranger is told %d bytes", n)
		}
	}
	huge := binary.BigEndian.AppendUint32(nil, 1<<31)
	send(append(huge, 1, 0))
	a.refuses("too_large")
	send([]byte{0, 0, 0, 6, 1, 0, 0xff, 0xff, 0xff, 0xff})
	a.refuses("garbage")
	send([]byte{0, 0, 0, 2, 2, 0}) // a digest without a hello
	a.refuses("unexpected")
	a.sees("a")
}

func TestWhatAnEarlierRunLeft(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"garbage":      "\x00\x01garbage",
		"empty":        "",
		"torn":         `{"format":1,"cluster":"te`,
		"unknown":      `{"format":1,"cluster":"test","node":"a","epoch":3,"peers":null,"x":1}`,
		"newer":        `{"format":2,"cluster":"test","node":"a","epoch":3,"peers":null}`,
		"other node":   `{"format":1,"cluster":"test","node":"z","epoch":3,"peers":null}`,
		"other domain": `{"format":1,"cluster":"prod","node":"a","epoch":3,"peers":["127.0.0.1:1"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, "a")
			var logs bytes.Buffer
			cfg.Logger = log.NewLogfmtLogger(&logs)
			for _, file := range []string{memoryFile, ownIdentityFile} {
				if err := os.WriteFile(filepath.Join(cfg.StoragePath, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			m, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if m.memory.Epoch != 0 || len(m.memory.Peers) != 0 {
				t.Errorf("it remembers %+v", m.memory)
			}
			aside, _ := filepath.Glob(filepath.Join(cfg.StoragePath, "*.corrupt-*"))
			if len(aside) != 2 || strings.Count(logs.String(), "set aside") != 2 {
				t.Errorf("set aside are %v, logged was %s", aside, &logs)
			}
		})
	}
}

func TestBadConfig(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		"--node.name":         func(c *Config) { c.Node = "a b" },
		"--mesh.cluster":      func(c *Config) { c.Cluster = "" },
		"--mesh.key-file":     func(c *Config) { c.GossipKeys = [][]byte{[]byte("short")} },
		"--mesh.stale-after":  func(c *Config) { c.StaleAfter = time.Second },
		"--mesh.forget-after": func(c *Config) { c.ForgetAfter = time.Second },
		"storage path":        func(c *Config) { c.StoragePath = "/dev/null/x" },
		"mesh certificate":    func(c *Config) { c.TLS = &TLSFiles{CA: "x", Cert: "y", Key: "z"} },
	} {
		cfg := testConfig(t, "a")
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, change := range map[string]func(*Config){
		"--mesh.exchange":  func(c *Config) { c.Exchange = taken.Addr().String() },
		"--mesh.bind":      func(c *Config) { c.Bind = taken.Addr().String() },
		"--mesh.advertise": func(c *Config) { c.Advertise = "no such host" },
		"every IPv6":       func(c *Config) { c.Bind = "[::]:0" },
	} {
		cfg := testConfig(t, "a")
		change(&cfg)
		m, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Listen("127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
		}
	}
}
