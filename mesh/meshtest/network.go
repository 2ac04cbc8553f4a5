// Package meshtest is a network in memory on which a test runs a whole cluster
// in one process, in virtual time if it likes (testing/synctest): packets and
// streams between hosts, with the faults of a real network. It stands beside
// mesh, which it serves as mesh.Network without knowing it.
package meshtest

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Network connects hosts. All links are whole at first and take no time.
type Network struct {
	mu     sync.Mutex // guards all below, and every host, stream and listener
	random *rand.Rand
	hosts  map[netip.Addr]*Host // who has an address now
	faults map[link]Fault
	conns  map[*conn]bool // open at one end at least
	sent   Traffic
}

// Traffic counts what hosts have sent, whether or not it arrived.
type Traffic struct {
	Packets, PacketBytes int
	Dials, StreamBytes   int
}

// link is the way from one address to another. The way back is another link.
type link struct{ from, to netip.Addr }

// Fault is what is wrong with a link.
type Fault struct {
	// Cut swallows everything, without a word to either end: what was written
	// to a stream arrives if the link is mended before somebody gives up.
	Cut bool
	// Loss is the share of packets that are lost, 0 to 1. Streams repeat what
	// was lost, so they are late.
	Loss float64
	// Delay holds everything up, by half of it to one and a half.
	Delay time.Duration
}

// New returns a network without hosts. What is left to chance follows from
// seed, as far as the order in which goroutines run allows.
func New(seed uint64) *Network {
	return &Network{
		random: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // repeatable on purpose
		hosts:  map[netip.Addr]*Host{}, faults: map[link]Fault{}, conns: map[*conn]bool{},
	}
}

// Set puts a fault on the way from one address to another; the zero Fault
// mends it.
func (n *Network) Set(from, to netip.Addr, f Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.set(from, to, f)
	n.wake()
}

func (n *Network) set(from, to netip.Addr, f Fault) {
	if f == (Fault{}) {
		delete(n.faults, link{from, to})
		return
	}
	n.faults[link{from, to}] = f
}

// Split cuts every link between the sides, both ways, and leaves those within
// a side as they are. An address on no side is not touched.
func (n *Network) Split(sides ...[]netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, side := range sides {
		for j, other := range sides {
			for _, from := range side {
				for _, to := range other {
					if i != j {
						n.set(from, to, Fault{Cut: true})
					}
				}
			}
		}
	}
	n.wake()
}

// Heal mends every link.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.faults)
	n.wake()
}

// Sent is what was sent so far.
func (n *Network) Sent() Traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent
}

// Conns counts the ends of streams that are open.
func (n *Network) Conns() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

// wake lets everybody who waits look again.
func (n *Network) wake() {
	for c := range n.conns {
		if c.reaches(c.peer.host) {
			c.unheard = time.Time{}
		}
		c.changed.Broadcast()
	}
}

// late draws how long something takes on a link with fault f.
func (n *Network) late(f Fault) time.Duration {
	if f.Delay == 0 {
		return 0
	}
	return f.Delay/2 + time.Duration(n.random.Int64N(int64(f.Delay)))
}

// lost draws whether something is lost on a link with fault f.
func (n *Network) lost(f Fault) bool { return f.Loss > 0 && n.random.Float64() < f.Loss }
