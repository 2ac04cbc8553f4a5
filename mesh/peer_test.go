package mesh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
)

// peer is a mesh of its own: on loopback, or in a bubble.
type peer struct {
	*Mesh
	t        testing.TB
	registry *prometheus.Registry
	logs     *logBuffer
	stop     func() // says goodbye
	value    float64
	also     atomic.Pointer[health.Result] // what it says beside the usual
}

// logBuffer can be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func testConfig(t testing.TB, name string) Config {
	return Config{
		Node: name, Cluster: "test", Version: "1.0.0",
		Bind: "127.0.0.1:0", Exchange: "127.0.0.1:0",
		StoragePath:     t.TempDir(),
		PublishInterval: time.Second, ExchangeInterval: 200 * time.Millisecond,
		StaleAfter: 8 * time.Second, ForgetAfter: time.Hour,
		Limits: DefaultLimits(), Logger: log.NewNopLogger(), Registry: prometheus.NewRegistry(),
	}
}

// start runs a mesh that publishes each second until the test ends.
func start(t testing.TB, cfg Config) *peer {
	t.Helper()
	p := &peer{t: t, registry: cfg.Registry.(*prometheus.Registry), logs: &logBuffer{}}
	cfg.Logger = log.NewLogfmtLogger(p.logs)
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Listen("127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	p.Mesh = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- m.Run(ctx) }()
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			p.publish()
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-tick.C:
			}
		}
	}()
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			err := <-done
			if slow := cfg.Network == nil && errors.Is(err, errSlowGoodbye); err != nil && !slow { // a busy machine is slow
				t.Errorf("%s: %v", cfg.Node, err)
			}
		}
	}
	t.Cleanup(p.stop)
	return p
}

// frameKey is what p signs its words with.
func (p *peer) frameKey() ed25519.PrivateKey { return p.trust.identity.Load().frameKey }

func (p *peer) publish() {
	p.value++
	results := []health.Result{{Check: "etcd", Subject: "e", Status: health.Critical, Reason: "down", Observed: time.Now(), Since: time.Now()}}
	if also := p.also.Load(); also != nil {
		results = append(results, *also)
	}
	if err := p.Publish(health.Snapshot{
		Node: p.cfg.Node, Values: []float64{p.value},
		Schema: &health.Schema{Version: "1.0.0", Families: []health.Family{
			{Name: "v", Type: health.Gauge, Series: make([]health.Series, 1)},
		}},
		Results: results,
	}); err != nil {
		p.t.Error(err)
	}
}

// sees waits until p has news of exactly these nodes, all of them up.
func (p *peer) sees(names ...string) {
	p.t.Helper()
	p.eventually(fmt.Sprintf("sees %v", names), func() (string, bool) {
		got := p.up()
		return strings.Join(got, " "), strings.Join(got, " ") == strings.Join(names, " ")
	})
}

func (p *peer) up() []string {
	var names []string
	for _, n := range p.View().Nodes {
		if n.Up && n.Snapshot != nil {
			names = append(names, n.Name)
		}
	}
	return names
}

// eventually waits until check holds, and fails where it does not: much later
// than it ever takes, for a busy machine stalls a peer for many seconds.
func (p *peer) eventually(what string, check func() (string, bool)) {
	p.t.Helper()
	const patience = 2 * time.Minute
	deadline := time.Now().Add(patience)
	for {
		got, ok := check()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: not within %v that it %s: %s\nlogs:\n%s", p.cfg.Node, patience, what, got, p.logs)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// count is the value of a counter with one label.
func (p *peer) count(name, label string) float64 {
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// gauge is the value of a gauge without labels.
func (p *peer) gauge(name string) float64 {
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return 0
}

func (p *peer) refuses(reason string) {
	p.t.Helper()
	p.eventually("refuses for "+reason, func() (string, bool) {
		n := p.count("grapevine_mesh_refused_total", reason)
		return fmt.Sprint(n), n > 0
	})
}
