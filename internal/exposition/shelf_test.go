package exposition

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// kept lists the pieces on the shelf of o.
func kept(r *Renderer, o Options) []*piece {
	s := r.shelves[shelfKey{o.Format, o.Encoding, o.Timestamps}]
	if s == nil {
		return nil
	}
	var all []*piece
	for _, p := range s.pieces {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

func TestOnlyWhatChangedIsRenderedAgain(t *testing.T) {
	r, v, o := newRenderer(), largeView(200, 100), Options{Encoding: Gzip}
	render(t, r, v, o)
	before := kept(r, o)
	render(t, r, v, o)
	if diff := cmp.Diff(before, kept(r, o), cmp.Comparer(func(a, b *piece) bool { return a == b })); diff != "" {
		t.Fatalf("nothing has changed, but:\n%s", diff)
	}
	if len(before) < 20 {
		t.Fatalf("%d pieces, too few for the test", len(before))
	}
	next := changed(v)
	next.Nodes = append(v.Nodes[:199:199], next.Nodes[199]) // the last node alone
	render(t, r, next, o)
	again := 0
	for i, p := range kept(r, o) {
		if p != before[i] {
			again++
		}
	}
	if again == 0 || again > len(before)/2 {
		t.Errorf("%d of %d pieces were rendered again for one node", again, len(before))
	}
}

// What a node says of itself is kept, what the answering node says of it is not.
func TestAgesAreNeverKept(t *testing.T) {
	r, v, o := newRenderer(), largeView(3, 10), Options{Encoding: Gzip}
	render(t, r, v, o)
	v.Nodes[1].Age, v.Nodes[1].Up = time.Minute, false
	text := decoded(t, Gzip, render(t, r, v, o))
	for _, want := range []string{
		`grapevine_node_snapshot_age_seconds{node="node-0001"} 60` + "\n",
		`grapevine_node_up{node="node-0001"} 0` + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// A node that goes, comes back or changes its series is shown as it is.
func TestMembershipChanges(t *testing.T) {
	full := largeView(60, 100)
	silent := full
	silent.Nodes = append([]mesh.Node{}, full.Nodes...)
	silent.Nodes[33].Snapshot = nil
	other := full
	other.Nodes = append([]mesh.Node{}, full.Nodes...)
	other.Nodes[33] = node("node-0033", &health.Schema{Families: []health.Family{gauge("grapevine_other", "", series())}}, 5)
	fewer := full
	fewer.Nodes = append(full.Nodes[:10:10], full.Nodes[11:]...)
	renamed := full
	renamed.Nodes = append([]mesh.Node{}, full.Nodes...)
	renamed.Nodes[33].Name = "node-0033a"

	r := newRenderer()
	for i, v := range []mesh.View{full, silent, full, other, silent, fewer, full, renamed, other, fewer, {}, full} {
		got := decoded(t, Gzip, render(t, r, v, Options{Encoding: Gzip}))
		if diff := cmp.Diff(render(t, newRenderer(), v, Options{}), got); diff != "" {
			t.Fatalf("view %d (-anew +from the shelf):\n%.2000s", i, diff)
		}
	}
}

// stuck reads nothing until it is let go.
type stuck struct {
	begun, letGo chan struct{}
	once         sync.Once
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.begun); <-s.letGo })
	return s.Buffer.Write(p)
}

// Who reads slowly holds up nobody, gets the answer as of when it asked, and
// keeps nothing of it in memory meanwhile.
func TestSlowReader(t *testing.T) {
	for _, e := range []Encoding{Gzip, Zstd} {
		r, v, o := newRenderer(), largeView(300, 200), Options{Encoding: e}
		want := render(t, newRenderer(), v, Options{})
		slow := &stuck{begun: make(chan struct{}), letGo: make(chan struct{})}
		done := make(chan error)
		go func() { done <- r.Write(slow, v, o) }()
		<-slow.begun

		var freed atomic.Int32
		pieces := kept(r, o)
		for _, p := range pieces {
			runtime.AddCleanup(p, func(int) { freed.Add(1) }, 0)
		}
		all := int32(len(pieces))
		clear(pieces)
		for next := v; freed.Load() < all*9/10; {
			next = changed(next)
			render(t, r, next, o) // is not held up
			runtime.GC()
		}
		close(slow.letGo)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := decoded(t, e, slow.String()); got != want {
			t.Errorf("%v: the slow reader got %d bytes that differ from the %d of the view it asked for", e, len(got), len(want))
		}
	}
}

// counted counts how often a body is rendered.
type counted struct {
	body
	calls *atomic.Int64
}

func (c counted) append(dst []byte, n *shown, values []float64, only *selection) []byte {
	c.calls.Add(1)
	return c.body.append(dst, n, values, only)
}

// Scrapers that ask at once share the work.
func TestScrapesShare(t *testing.T) {
	r, v, o := newRenderer(), largeView(300, 100), Options{Encoding: Gzip}
	render(t, r, v, o)
	var calls atomic.Int64
	for _, t := range r.caches[Text].templates {
		t.body = counted{t.body, &calls}
	}
	v = changed(v)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := r.Write(io.Discard, v, o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if want := int64(300 * len(v.Nodes[0].Snapshot.Schema.Families)); calls.Load() != want {
		t.Errorf("families of nodes were rendered %d times, want %d", calls.Load(), want)
	}
}

func TestForgetsWhatNobodyAsksFor(t *testing.T) {
	r, v := newRenderer(), largeView(20, 50)
	now := noon
	r.now = func() time.Time { return now }
	render(t, r, v, Options{Encoding: Gzip})
	render(t, r, v, Options{Format: OpenMetrics, Encoding: Gzip})
	now = now.Add(idleTime / 2)
	render(t, r, v, Options{Encoding: Gzip})
	now = now.Add(idleTime / 2)
	r.forget()
	if len(r.shelves) != 1 || len(r.caches) != 1 || kept(r, Options{Encoding: Gzip}) == nil {
		t.Errorf("%d shelves and %d caches are kept, want those of text alone", len(r.shelves), len(r.caches))
	}
	now = now.Add(idleTime)
	r.forget()
	if len(r.shelves) != 0 || len(r.caches) != 0 || r.generations.seen != nil || r.forgetting != nil {
		t.Errorf("kept after a long time: %d shelves, %d caches", len(r.shelves), len(r.caches))
	}
	if got := render(t, r, v, Options{}); got != render(t, newRenderer(), v, Options{}) {
		t.Error("after that the answer differs")
	}
}

// Whatever happens in another goroutine ends the request and not the agent.
func TestPanicComesBack(t *testing.T) {
	r, v, o := newRenderer(), largeView(200, 200), Options{Encoding: Gzip}
	render(t, r, v, o)
	next := changed(v)
	broken := *next.Nodes[7].Snapshot
	next.Nodes[7].Snapshot = &broken
	for _, c := range r.caches { // a layout that refers to a value that is not there
		for _, x := range c.fixed {
			for i := range x.families {
				x.families[i].first = 1 << 30
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic reached the caller")
		}
	}()
	_ = r.Write(io.Discard, next, o)
}
