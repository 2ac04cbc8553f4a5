package exchange

import (
	"crypto/rand"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/state"
)

func (e *end) cast(t *testing.T, to ...string) {
	t.Helper()
	if err := e.Cast(to, 4, state.Delta{
		Frames: e.store.Frames([]string{e.cfg.Node}, 1<<20), Blobs: e.store.Blobs(e.store.Refers(e.cfg.Node), 1<<20),
	}); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !check(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestCast(t *testing.T) {
	t.Parallel()
	a, b, c := listen(t, "a"), listen(t, "b"), listen(t, "c")
	a.knows(b, c)
	a.publish(t, 1)
	a.cast(t, "b", "c")
	for _, e := range []*end{b, c} {
		eventually(t, "the frame arrives", func() bool { return e.holds() == "a=1 " })
	}
	if got := b.casts(); !slices.Equal(got, []string{"a/4"}) {
		t.Errorf("b received %v", got)
	}

	// Repair takes the same connection.
	b.publish(t, 2)
	if err := a.Sync(t.Context(), "b", b.addr); err != nil || a.holds() != "a=1 b=2 " {
		t.Errorf("a holds %s: %v", a.holds(), err)
	}
	a.mu.Lock()
	idle := len(a.idle)
	a.mu.Unlock()
	if idle != 0 {
		t.Errorf("%d more connections", idle)
	}

	// A peer that has been away is reached again.
	b.closeAll()
	eventually(t, "news arrives after the peer hung up", func() bool {
		a.publish(t, 3)
		a.cast(t, "b")
		return b.holds() == "a=3 b=2 "
	})
}

// A peer that does not read, or is not there, costs a bounded queue and no
// wait.
func TestSlowReaderIsShed(t *testing.T) {
	t.Parallel()
	a, b := listen(t, "a"), listen(t, "b")
	b.deaf = make(chan struct{})
	defer close(b.deaf)
	a.knows(b)
	a.publish(t, 1)
	big := state.Delta{Blobs: [][]byte{make([]byte, maxQueue/4)}}
	_, _ = rand.Read(big.Blobs[0]) // zstd must not make it small
	began := time.Now()
	for range 200 { // far more than the kernel's buffers and the queue take
		if err := a.Cast([]string{"b"}, 0, big); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("casting took %v", took)
	}
	if a.dropped() == 0 {
		t.Error("nothing was dropped")
	}
	s := a.stream("b")
	a.Exchange.mu.Lock()
	queued := s.bytes
	a.Exchange.mu.Unlock()
	if queued > maxQueue {
		t.Errorf("%d bytes wait for one peer", queued)
	}
	eventually(t, "the peer counts as out of reach", func() bool {
		_ = a.Cast([]string{"b"}, 0, big)
		return !a.Reachable("b")
	})
}

func TestUnreachablePeer(t *testing.T) {
	t.Parallel()
	a := listen(t, "a")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	a.addresses.Store("b", closed.Addr().String())
	a.publish(t, 1)
	if !a.Reachable("b") {
		t.Error("a peer that was never tried counts as out of reach")
	}
	a.cast(t, "b")
	eventually(t, "the peer counts as out of reach", func() bool { return !a.Reachable("b") })
	before := a.dropped()
	a.cast(t, "b")
	if a.dropped() == before {
		t.Error("what is cast to a peer out of reach is queued")
	}
}

// addresses is what an end knows of the others.
type addresses struct{ sync.Map }

func (a *addresses) of(name string) string {
	address, _ := a.Load(name)
	s, _ := address.(string)
	return s
}

func (e *end) knows(others ...*end) {
	for _, o := range others {
		e.addresses.Store(o.cfg.Node, o.addr)
	}
}
