package mesh

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/exchange"
	"github.com/grapevine-mesh/grapevine/mesh/meshtest"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// stranger is somebody who speaks the exchange as any node does, and lies as
// it is told to.
type stranger struct {
	cluster, name string              // what it says of itself
	tls           *tls.Config         // what it proves that with
	frames        func() *state.Store // what it has to tell; nil: nothing
}

// deaf listens to nobody.
type deaf struct{}

func (deaf) Member(string) bool                            { return false }
func (deaf) Key(string, []byte) (ed25519.PublicKey, error) { return nil, errors.New("deaf") }
func (deaf) Refused(string, *state.Refusal)                {}
func (deaf) Applied(exchange.Path, int, int)               {}
func (deaf) Transferred(int, int)                          {}
func (deaf) Shed(string, int)                              {}

// words is a store that speaks as name, under an identity and a key that need
// not be its own.
func words(t testing.TB, name string, encoded []byte, key ed25519.PrivateKey) *state.Store {
	t.Helper()
	s := state.New(state.Config{
		Self: name, Cluster: "test", Trust: deaf{}, Limits: DefaultLimits().frame(), Nodes: 100,
		Identity: encoded, Key: key, ForgetAfter: time.Hour, Now: time.Now,
	}, 1000) // an epoch that is news to everybody
	if err := s.Publish(health.Snapshot{
		Node: name, Values: []float64{666},
		Schema: &health.Schema{Version: "1.0.0", Families: []health.Family{{Name: "v", Type: health.Gauge, Series: make([]health.Series, 1)}}},
	}, time.Minute); err != nil {
		t.Fatal(err)
	}
	return s
}

// calls has the stranger, at a host, exchange with a node once.
func (s stranger) calls(t testing.TB, host *meshtest.Host, name, address string) {
	t.Helper()
	store := state.New(state.Config{
		Self: "nobody", Cluster: "test", Trust: deaf{}, Limits: DefaultLimits().frame(), Nodes: 100, ForgetAfter: time.Hour, Now: time.Now,
	}, 0)
	if s.frames != nil {
		store = s.frames()
	}
	x := exchange.New(exchange.Config{
		Node: s.name, Cluster: s.cluster, Store: store, Limits: DefaultLimits().frame(), TLS: s.tls, Observer: deaf{},
		Dial:         host.Dial,
		Address:      func(string) string { return address },
		Received:     func(string, int, state.Delta) state.Outcome { return state.Outcome{} },
		Authenticate: func(string, []*x509.Certificate) (time.Time, error) { return time.Time{}, nil },
	})
	_ = x.Sync(t.Context(), name, address) // it is refused, now or later
	if s.frames != nil {
		// Nobody has asked for them.
		l, err := host.Listen(host.Addr().String() + ":0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- x.Serve(ctx, l) }()
		time.Sleep(10 * time.Millisecond) // it begins to serve
		frames := store.Frames([]string{store.Nodes()[0].Name}, 1<<20)
		if err := x.Cast([]string{name}, 0, state.Delta{Frames: frames, Blobs: store.Blobs(store.Refers(store.Nodes()[0].Name), 1<<20)}); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * time.Millisecond)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	x.Close()
}

// showing is how one who shows the certificate of files does TLS.
func showing(t testing.TB, files *TLSFiles) *tls.Config {
	t.Helper()
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return tlsConfig(func() *identity { return &identity{certificate: certificate} })
}
