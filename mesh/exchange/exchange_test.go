package exchange

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var limits = frame.Limits{FrameBytes: 1 << 20, SchemaBytes: 1 << 20, Series: 1000, Results: 10, TextBytes: 1000}

// end is one node's exchange with the state behind it. A certificate speaks
// for the name in it, whoever made it: trust has tests of its own.
type end struct {
	*Exchange
	store *state.Store
	addr  string

	addresses addresses
	deaf      chan struct{} // if not nil, what is cast is not taken in before it is closed

	mu       sync.Mutex // guards what follows
	refusals []string
	received []string // casts, as PEER/GROUPS
	shed     int
}

func (e *end) Refused(_ string, r *state.Refusal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refusals = append(e.refusals, r.Reason)
}

// refused lists the reasons so far.
func (e *end) refused() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string{"none"}, e.refusals...)
}
func (e *end) last() string { r := e.refused(); return r[len(r)-1] }

func (e *end) Applied(Path, int, int) {}
func (e *end) Transferred(int, int)   {}
func (e *end) Shed(_ string, bytes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shed += bytes
}

func (e *end) dropped() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.shed
}

func (e *end) casts() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.received)
}

func (e *end) receive(peer string, groups int, d state.Delta) state.Outcome {
	if e.deaf != nil {
		<-e.deaf
	}
	e.mu.Lock()
	e.received = append(e.received, fmt.Sprintf("%s/%d", peer, groups))
	e.mu.Unlock()
	return e.store.Apply(d)
}
func (e *end) Member(string) bool { return true }

// Key trusts an identity that is a name and a key.
func (e *end) Key(name string, encoded []byte) (ed25519.PublicKey, error) {
	key, ok := bytes.CutPrefix(encoded, []byte(name))
	if !ok || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("not the identity of " + name)
	}
	return key, nil
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

func authenticate(name string, chain []*x509.Certificate) (time.Time, error) {
	if len(chain) == 0 || len(chain[0].DNSNames) != 1 || chain[0].DNSNames[0] != name {
		return time.Time{}, errors.New("not the certificate of " + name)
	}
	return chain[0].NotAfter, nil
}

// listen starts an end called name that serves until the test is over.
func listen(t *testing.T, name string) *end {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	public, frameKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &end{}
	e.store = state.New(state.Config{
		Self: name, Cluster: "test", Trust: e, Limits: limits, Nodes: 1000,
		Identity: append([]byte(name), public...), Key: frameKey, ForgetAfter: time.Hour, Now: time.Now,
	}, 0)
	e.Exchange = New(Config{
		Node: name, Cluster: "test", Store: e.store, Limits: limits, Authenticate: authenticate, Observer: e,
		Dial: dial, Address: e.addresses.of, Received: e.receive,
		TLS: &tls.Config{
			MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert, InsecureSkipVerify: true,
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- e.Serve(ctx, l) }()
	eventually(t, "it serves", func() bool {
		e.Exchange.mu.Lock()
		defer e.Exchange.mu.Unlock()
		return e.group != nil
	})
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		e.Close()
	})
	return e
}

func (e *end) publish(t *testing.T, value float64) {
	t.Helper()
	if err := e.store.Publish(health.Snapshot{
		Node: e.cfg.Node, Values: []float64{value},
		Schema: &health.Schema{Version: e.cfg.Node, Families: []health.Family{{Name: "v", Type: health.Gauge, Series: make([]health.Series, 1)}}},
	}, time.Minute); err != nil {
		t.Fatal(err)
	}
}

func (e *end) holds() string {
	s := ""
	for _, h := range e.store.Nodes() {
		s += fmt.Sprintf("%s=%v ", h.Name, h.Snapshot.Values[0])
	}
	return s
}

func TestSyncBothWays(t *testing.T) {
	a, b, c := listen(t, "a"), listen(t, "b"), listen(t, "c")
	a.publish(t, 1)
	b.publish(t, 2)
	c.publish(t, 3)
	for _, with := range []*end{b, c, b} { // the last round takes c's word to b
		if err := a.Sync(t.Context(), with.cfg.Node, with.addr); err != nil {
			t.Fatal(err)
		}
	}
	if a.holds() != "a=1 b=2 c=3 " || b.holds() != a.holds() || c.holds() != a.holds() {
		t.Errorf("a holds %s, b %s, c %s", a.holds(), b.holds(), c.holds())
	}
	for _, e := range []*end{a, b, c} {
		if e.last() != "none" {
			t.Errorf("%s refused: %v", e.cfg.Node, e.refused())
		}
	}
}

func TestReconnectsAfterThePeerHungUp(t *testing.T) {
	a, b := listen(t, "a"), listen(t, "b")
	b.publish(t, 1)
	if err := a.Sync(t.Context(), "b", b.addr); err != nil {
		t.Fatal(err)
	}
	b.closeAll()
	b.publish(t, 2)
	if err := a.Sync(t.Context(), "b", b.addr); err != nil || a.holds() != "b=2 " {
		t.Errorf("after the peer hung up: %v, a holds %s", err, a.holds())
	}
}

func TestWrongPeer(t *testing.T) {
	a, b, c := listen(t, "a"), listen(t, "b"), listen(t, "c")
	if err := a.Sync(t.Context(), "b", c.addr); err == nil || a.last() != state.ReasonIdentity {
		t.Errorf("c answers for b: %v, %v", err, a.refused())
	}
	other := b.cfg
	other.Cluster = "other"
	if err := New(other).Sync(t.Context(), "a", a.addr); err == nil {
		t.Error("another cluster gets in")
	}
	if a.last() != ReasonCluster {
		t.Errorf("refused for %s", a.last())
	}
}

// A peer that is silent, drips or never ends costs one bounded wait.
func TestHangingPeers(t *testing.T) {
	for name, behave := range map[string]func(net.Conn){
		"accepts and is silent": func(net.Conn) {},
		"drips": func(c net.Conn) {
			for {
				if _, err := c.Write([]byte{0x16}); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := listen(t, "a")
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				if c, err := l.Accept(); err == nil {
					defer c.Close()
					behave(c)
					_, _ = io.Copy(io.Discard, c)
				}
			}()
			began := time.Now()
			if err := a.Sync(t.Context(), "b", l.Addr().String()); err == nil {
				t.Error("that is a peer?")
			}
			if took := time.Since(began); took > helloTimeout+20*time.Second {
				t.Errorf("it took %v to give up", took)
			}
			_ = l.Close()
			<-served
		})
	}
}

func TestOnePeerCannotTakeAllConnections(t *testing.T) {
	a, b := listen(t, "a"), listen(t, "b")
	for i := range maxConnsPerPeer {
		c, err := b.dial(t.Context(), "a", a.addr)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer c.Close()
	}
	if _, err := b.dial(t.Context(), "a", a.addr); err == nil {
		t.Errorf("connection %d is let in", maxConnsPerPeer+1)
	}
	if r := a.refused(); len(r) != 2 || a.last() != ReasonCrowd {
		t.Errorf("refused: %v", r)
	}
}

func TestMessageBounds(t *testing.T) {
	var many bytes.Buffer
	if err := writeMessage(&many, message{kind: kindGet, hashes: make([]frame.Hash, maxItems+1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := readMessage(&many); err == nil {
		t.Error("a message of too many entries passes")
	}
	bomb := encoder.EncodeAll(make([]byte, maxMessage+1), nil)
	header := binary.BigEndian.AppendUint32(nil, uint32(len(bomb)+2))
	if _, err := readMessage(io.MultiReader(bytes.NewReader(append(header, byte(kindPush), 1)), bytes.NewReader(bomb))); err == nil {
		t.Errorf("%d bytes that inflate to more than %d pass", len(bomb), maxMessage)
	}
}

func FuzzReadMessage(f *testing.F) {
	for _, m := range []message{
		{kind: kindHello, cluster: "c", node: "n"},
		{kind: kindSync, have: []state.Have{{Name: "n", Version: frame.Version{Epoch: 1, Number: 2}}}},
		{kind: kindPush, frames: []state.Relayed{{Raw: make([]byte, 600), Age: time.Second}}, blobs: [][]byte{{1}}, names: []string{"x"}},
	} {
		var b bytes.Buffer
		if err := writeMessage(&b, m); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMessage(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeMessage(&again, m); err != nil {
			t.Fatal(err)
		}
		if _, err := readMessage(&again); err != nil {
			t.Errorf("what was read cannot be written and read: %v", err)
		}
	})
}

// Strangers who open connections and say nothing leave room for peers.
func TestStrangersLeaveRoom(t *testing.T) {
	a, b := listen(t, "a"), listen(t, "b")
	for range 2 * maxWaitingPerHost {
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	crowded := func() (n int) {
		for _, reason := range a.refused() {
			if reason == ReasonCrowd {
				n++
			}
		}
		return n
	}
	eventually(t, "half of the strangers are turned away", func() bool { return crowded() >= maxWaitingPerHost })
	deadline := time.Now().Add(10 * time.Second)
	// They are given helloTimeout; then b, from the same host, gets in.
	for a.Exchange.mu.Lock(); len(a.waiting) > 0; a.Exchange.mu.Lock() {
		a.Exchange.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatal("they are waited for without end")
		}
		time.Sleep(50 * time.Millisecond)
	}
	open := len(a.open)
	a.Exchange.mu.Unlock()
	if open != 0 {
		t.Errorf("%d connections are open", open)
	}
	b.publish(t, 1)
	if err := b.Sync(t.Context(), "a", a.addr); err != nil {
		t.Error(err)
	}
	a.Exchange.mu.Lock()
	defer a.Exchange.mu.Unlock()
	if len(a.waiting) != 0 || len(a.open) != 1 {
		t.Errorf("%v wait, %d are open", a.waiting, len(a.open))
	}
}
