package main

import (
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/exchange"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/spread"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// Case is one run of the simulation.
type Case struct {
	Nodes    int
	Loss     float64       // probability that a message is lost
	Dead     float64       // share of the nodes that die when the measurement begins
	Changing float64       // share of the values that change from frame to frame
	Interval time.Duration // between two frames of a node
	Flush    time.Duration // pace of relays
	Repair   time.Duration // pace of anti-entropy
	Settle   time.Duration
	Measure  time.Duration
	Seed     uint64
}

const (
	clusterID = "bench"
	// warmUp is how long the cluster runs before it is measured, and tail how
	// long it goes on after, for what is still on its way.
	warmUp = 5 * time.Second
	tail   = 15 * time.Second
	// linkDelay and linkJitter are how long a message takes at least, and how
	// much longer at most.
	linkDelay  = time.Millisecond
	linkJitter = 4 * time.Millisecond
	// identityBytes is the size of an endorsed key with one certificate.
	identityBytes = 500
)

var (
	limits = frame.Limits{FrameBytes: 1 << 20, SchemaBytes: 1 << 20, Series: 20_000, Results: 20_000, TextBytes: 1 << 10}
	began  = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
)

// cluster is all nodes, and what happens among them in virtual time. It is
// one goroutine.
type cluster struct {
	Case
	rng     *rand.Rand
	now     time.Duration
	queue   queue
	names   []string
	ids     map[string]int
	keys    []ed25519.PublicKey
	nodes   []*node
	figures *figures
}

// newCluster makes nodes of which each holds a frame of every other.
func newCluster(c Case) *cluster {
	sim := &cluster{Case: c, rng: rand.New(rand.NewPCG(c.Seed, uint64(c.Nodes))), ids: map[string]int{}, now: -c.Interval}
	for i := range c.Nodes {
		name := fmt.Sprintf("worker-%04d", i)
		sim.names, sim.ids[name] = append(sim.names, name), i
	}
	sim.figures = newFigures(sim)
	reader := newReader()
	witness := &node{cluster: sim, name: "witness"}
	witness.store = sim.newStore(witness, reader, nil, 0)
	for i, name := range sim.names {
		n := &node{cluster: sim, id: i, name: name, links: map[string]*link{}}
		sim.nodes = append(sim.nodes, n)
		var seed [ed25519.SeedSize]byte
		for j := range seed {
			seed[j] = byte(sim.rng.Uint32())
		}
		key := ed25519.NewKeyFromSeed(seed[:])
		sim.keys = append(sim.keys, key.Public().(ed25519.PublicKey)) //nolint:forcetypeassert // it is
		n.store = sim.newStore(n, reader, key, uint64(1+sim.rng.IntN(20)))
		n.source = newSource(sim.rng, name, sim.probed(i), c.Changing, sim.time())
		// Nodes have been up for up to a week.
		version := frame.Version{Epoch: n.store.Epoch(), Number: uint64(sim.rng.Int64N(int64(7 * 24 * time.Hour / c.Interval)))}
		n.store.Resume(version)
		n.publish()
		n.outcome(witness.store.Apply(state.Delta{
			Frames: n.store.Frames([]string{name}, 1<<20), Blobs: n.store.Blobs(n.store.Refers(name), 1<<20),
		}))
	}
	for _, n := range sim.nodes {
		n.store.Adopt(witness.store)
		n.spread.SetMembers(sim.names)
	}
	sim.now = 0
	for i := range sim.nodes {
		sim.queue.push(event{at: sim.within(c.Interval), what: publishes, node: int32(i)})
		sim.queue.push(event{at: sim.within(c.Flush), what: flushes, node: int32(i)})
		sim.queue.push(event{at: sim.within(c.Repair), what: repairs, node: int32(i)})
	}
	return sim
}

// newStore gives n its store and what works on it.
func (c *cluster) newStore(n *node, reader state.Reader, key ed25519.PrivateKey, epoch uint64) *state.Store {
	identity := make([]byte, identityBytes)
	for i := range identity {
		identity[i] = byte(c.rng.Uint32())
	}
	s := state.New(state.Config{
		Self: n.name, Cluster: clusterID, Trust: n, Limits: limits, Nodes: 2 * c.Nodes, Identity: identity, Key: key,
		ForgetAfter: 24 * time.Hour, Settle: c.Settle, Now: c.time, Reader: reader,
	}, epoch)
	n.spread = spread.New(spread.Config{Self: n.name, Store: s, Cast: n.cast, Reachable: n.reachable})
	n.exchange = exchange.New(exchange.Config{
		Node: n.name, Cluster: clusterID, Store: s, Limits: limits, Observer: n, Received: n.spread.Receive,
	})
	return s
}

// probed lists the peers that node i probes.
func (c *cluster) probed(i int) []string {
	var others []string
	for k := range min(7, max(1, c.Nodes-1)) {
		others = append(others, c.names[(i+1+k*k)%c.Nodes])
	}
	return others
}

func (c *cluster) node(name string) *node {
	id, ok := c.ids[name]
	if !ok {
		return nil
	}
	return c.nodes[id]
}

func (c *cluster) within(d time.Duration) time.Duration { return time.Duration(c.rng.Int64N(int64(d))) }
func (c *cluster) delay() time.Duration                 { return linkDelay + c.within(linkJitter) }
func (c *cluster) loses() bool                          { return c.Loss > 0 && c.rng.Float64() < c.Loss }

// run lets everything happen until end.
func (c *cluster) run(end time.Duration) {
	for len(c.queue.events) > 0 && c.queue.events[0].at < end {
		e := c.queue.pop()
		c.now = e.at
		n := c.nodes[e.node]
		if n.dead {
			continue
		}
		switch e.what {
		case publishes:
			n.publish()
			e.at += c.Interval
			c.queue.push(e)
		case flushes:
			n.recorder.flushed(c.now)
			n.spread.Flush()
			e.at += c.Flush
			c.queue.push(e)
		case repairs:
			n.repair()
			e.at += c.Repair - c.within(c.Repair/5+1)
			c.queue.push(e)
		case arrives:
			n.receive(e.cast)
		}
	}
	c.now = end
}

// kill ends some nodes. Nobody is told.
func (c *cluster) kill() {
	order := c.rng.Perm(c.Nodes)
	for _, id := range order[:int(c.Dead*float64(c.Nodes)+0.5)] {
		c.nodes[id].dead = true
	}
	for _, n := range c.nodes {
		if !n.dead {
			c.figures.living = append(c.figures.living, n.id)
		}
	}
}

// simulate runs a case and returns its figures, and a recording of one node's
// part in it.
func simulate(c Case) (*figures, *recorder) {
	sim := newCluster(c)
	sim.run(warmUp)
	sim.kill()
	recorded := sim.nodes[sim.figures.living[0]]
	recorded.recorder = newRecorder(recorded)
	sim.figures.from, sim.figures.to = warmUp, warmUp+c.Measure
	sim.run(warmUp + c.Measure)
	recorder := recorded.recorder
	recorded.recorder = nil
	sim.run(warmUp + c.Measure + tail)
	sim.figures.finish(sim.now)
	return sim.figures, recorder
}
