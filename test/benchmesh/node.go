package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/exchange"
	"github.com/grapevine-mesh/grapevine/mesh/spread"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// node is one of the cluster. Its store, spread and exchange are the real
// ones, but for connections: messages go as bytes from one to the other.
type node struct {
	*cluster
	id       int
	name     string
	dead     bool
	store    *state.Store
	spread   *spread.Spread
	exchange *exchange.Exchange
	source   *source
	links    map[string]*link // to the dead
	touched  []int            // whose frames have just been taken in
	recorder *recorder        // nil: nobody wants to know
}

// cast is one message of the fast path, on its way to several.
type cast struct {
	from   *node
	groups int
	delta  state.Delta
	wire   []byte
}

// Member implements state.Trust.
func (n *node) Member(name string) bool { _, ok := n.ids[name]; return ok }

// Key implements state.Trust. A store asks for it when it takes a frame in.
func (n *node) Key(name string, _ []byte) (ed25519.PublicKey, error) {
	id := n.ids[name]
	n.touched = append(n.touched, id)
	return n.keys[id], nil
}

// link is nil for a peer that lives.
func (n *node) link(peer *node) *link {
	if !peer.dead {
		return nil
	}
	l := n.links[peer.name]
	if l == nil {
		l = &link{}
		n.links[peer.name] = l
	}
	return l
}

func (n *node) reachable(peer string) bool {
	l := n.link(n.node(peer))
	return l == nil || l.reachable(n.now)
}

// cast implements the Cast of spread.Config.
func (n *node) cast(to []string, groups int, d state.Delta) {
	wire, err := exchange.EncodeCast(groups, d)
	if err != nil {
		panic(err) // frames of our own making are not too large
	}
	c := &cast{n, groups, d, wire}
	for _, name := range to {
		peer := n.node(name)
		if l := n.link(peer); l != nil {
			if l.write(n.now) {
				n.figures.out(n.now, wire)
			}
			continue
		}
		n.figures.out(n.now, wire)
		if !n.loses() {
			n.queue.push(event{at: n.now + n.delay(), what: arrives, node: int32(peer.id), cast: c})
		}
	}
}

// receive takes a cast in.
func (n *node) receive(c *cast) {
	n.figures.in(n.now, c.wire)
	n.recorder.heard(n.now, c.from.name, c.wire)
	out := n.spread.Receive(c.from.name, c.groups, c.delta)
	n.outcome(out)
	n.settle()
}

func (n *node) publish() {
	snapshot := n.source.snapshot(n.time())
	if err := n.store.Publish(snapshot, n.Interval); err != nil {
		panic(err)
	}
	held, _, _ := n.store.Node(n.name)
	n.figures.published(n.id, n.now, held.Version, held.Bytes)
	n.recorder.said(n.now, snapshot)
	n.spread.Publish()
}

var errLost = errors.New("lost")

// repair compares what this node holds with what another one does.
func (n *node) repair() {
	peer := n.node(n.pick())
	if peer == nil {
		return
	}
	if l := n.link(peer); l != nil {
		if l.ask(n.now) {
			_ = n.exchange.SyncBy(context.Background(), peer.name, func(request []byte) ([]byte, error) {
				n.figures.out(n.now, request)
				return nil, errLost
			})
		}
		return
	}
	answers := n.recorder.asks(n.now, peer.name)
	_ = n.exchange.SyncBy(context.Background(), peer.name, func(request []byte) ([]byte, error) {
		n.figures.out(n.now, request)
		if n.loses() {
			return nil, errLost
		}
		peer.figures.in(n.now, request)
		peer.recorder.heard(n.now, n.name, request)
		answer, err := peer.exchange.Answer(n.name, request)
		if err != nil {
			panic(err) // nobody lies here
		}
		peer.figures.out(n.now, answer)
		if n.loses() {
			return nil, errLost
		}
		n.figures.in(n.now, answer)
		answers.add(answer)
		return answer, nil
	})
	n.settle()
	peer.settle()
}

// pick draws a peer as package mesh does.
func (n *node) pick() string {
	if near := n.spread.Neighbours(); len(near) > 0 && n.rng.IntN(5) != 0 {
		return near[n.rng.IntN(len(near))]
	}
	if len(n.names) == 1 {
		return ""
	}
	other := n.rng.IntN(len(n.names) - 1)
	if other >= n.id {
		other++
	}
	return n.names[other]
}

// settle notes which frames have arrived.
func (n *node) settle() {
	for _, id := range n.touched {
		n.figures.arrived(n.id, id, n.now, n.store.Version(n.names[id]))
	}
	n.touched = n.touched[:0]
}

func (n *node) outcome(out state.Outcome) {
	for _, r := range out.Refused {
		panic(r) // nobody lies here, and nothing is missing
	}
	n.figures.took(n.now, out.Applied, out.Old)
}

// Applied implements exchange.Observer.
func (n *node) Applied(path exchange.Path, applied, old int) {
	if path == exchange.Repair {
		n.figures.took(n.now, applied, old)
	}
}

// Refused implements exchange.Observer.
func (n *node) Refused(_ string, refusal *state.Refusal) { panic(refusal) }

// Transferred implements exchange.Observer.
func (n *node) Transferred(int, int) {}

// Shed implements exchange.Observer.
func (n *node) Shed(string, int) {}

// time is the clock of all nodes.
func (c *cluster) time() time.Time { return began.Add(c.now) }
