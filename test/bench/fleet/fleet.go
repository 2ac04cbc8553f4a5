// Package fleet is a cluster that nobody runs: nodes whose series look like an
// agent's and change as time goes by, as a mesh.View. It stands in for mesh in
// test/bench, and gives the same values in every program that is given the
// same Shape.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// Shape is the size of a fleet. Equal shapes make equal fleets.
type Shape struct {
	Nodes  int
	Series int     // of each node, counted as lines of exposition text
	Own    float64 // ratio of these whose subject no other node has
}

// What a shape may be.
const (
	MaxNodes  = 20_000
	MaxSeries = 20_000
)

// Validate says what is wrong with a shape.
func (s Shape) Validate() error {
	switch {
	case s.Nodes < 1 || s.Nodes > MaxNodes:
		return fmt.Errorf("%d nodes: there must be 1 to %d", s.Nodes, MaxNodes)
	case s.Series < 1 || s.Series > MaxSeries:
		return fmt.Errorf("%d series: a node has 1 to %d", s.Series, MaxSeries)
	case !(s.Own >= 0 && s.Own <= 1):
		return errors.New("the ratio of own series is 0 to 1")
	}
	return nil
}

// Samples is how many lines of exposition text the nodes' series take.
func (s Shape) Samples() int { return s.Nodes * s.Series }

// Fleet is nodes of which each has a newest snapshot. Its methods may be called
// from several goroutines.
type Fleet struct {
	layout layout

	mu    sync.Mutex // guards what the nodes hold
	nodes []node
}

type node struct {
	snapshot *health.Snapshot
	rng      *rand.Rand
	version  uint64
	fresh    time.Time // when the snapshot was taken
	member   mesh.Member
}

// New makes a fleet of a valid shape.
func New(s Shape) *Fleet {
	f := &Fleet{
		layout: lay(s.Series, int(math.Round(float64(s.Series)*s.Own))),
		nodes:  make([]node, s.Nodes),
	}
	width := max(4, len(strconv.Itoa(s.Nodes-1)))
	now := time.Now()
	shared := f.layout.schema(0, nil)
	for i := range f.nodes {
		schema := shared
		if s.Own > 0 && i > 0 {
			schema = f.layout.schema(i, shared)
		}
		name := fmt.Sprintf("worker-%0*d", width, i)
		rng := rand.New(rand.NewPCG(uint64(i), 20261121))
		host := fmt.Sprintf("10.%d.%d.1", i>>8, i&0xff)
		f.nodes[i] = node{
			snapshot: &health.Snapshot{Node: name, Schema: schema, Values: f.layout.first(rng)},
			rng:      rng, version: 1, fresh: now,
			member: mesh.Member{
				State: mesh.MemberAlive, Addr: host, Exchange: host + ":7997", Web: host + ":9797", Version: "1.0.0", Since: now,
			},
		}
	}
	return f
}

// change makes the next snapshot of the nodes from to to, as of now.
func (f *Fleet) change(from, to int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for i := from; i < to; i++ {
		n := &f.nodes[i]
		n.snapshot = &health.Snapshot{
			Node: n.snapshot.Node, Schema: n.snapshot.Schema, Values: f.layout.next(n.snapshot.Values, n.rng),
		}
		n.version++
		n.fresh = now
	}
}

// ChangeAll makes the next snapshot of every node.
func (f *Fleet) ChangeAll() { f.change(0, len(f.nodes)) }

// tick is how often Run looks which nodes are due.
const tick = 10 * time.Millisecond

// Run makes a snapshot of each node once in interval, one node after the other,
// until ctx ends.
func (f *Fleet) Run(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	began, done := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		due := int(time.Since(began).Seconds() / interval.Seconds() * float64(len(f.nodes)))
		for ; done < due; done++ {
			f.change(done%len(f.nodes), done%len(f.nodes)+1)
		}
	}
}

// View is the fleet as its first node sees it, now: all nodes are up.
func (f *Fleet) View() mesh.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	v := mesh.View{Self: f.nodes[0].snapshot.Node, Nodes: make([]mesh.Node, len(f.nodes))}
	for i := range f.nodes {
		n := &f.nodes[i]
		out := &v.Nodes[i]
		out.Name, out.Member, out.Snapshot = n.snapshot.Node, n.member, n.snapshot
		out.Age, out.Up = now.Sub(n.fresh), true
		out.Epoch, out.Version = 1, n.version
		out.Observers.Looking = 3
	}
	return v
}

// Has reports whether name is that of a sample of the nodes' series, and not
// one that the program which shows them has added.
func (f *Fleet) Has(name string) bool {
	for i := range f.layout.families {
		family := &f.layout.families[i]
		suffix, ok := strings.CutPrefix(name, family.name)
		if !ok {
			continue
		}
		switch suffix {
		case "":
			return family.behaviour != latencies
		case "_bucket", "_sum", "_count":
			return family.behaviour == latencies
		}
	}
	return false
}
