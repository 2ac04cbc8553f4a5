package collectors

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// newcomer is how long a node has to set up its network before the way to it
// is judged.
const newcomer = 15 * time.Second

// settled tells whether the way to the peer can be judged: it has a responder,
// and has had the time to set up its network.
func (p Peer) settled() bool { return p.Port != 0 && time.Since(p.Since) >= newcomer }

// neighbours returns the peers that the node self probes, sorted by name: k
// of them, or all when there are no more. All nodes that see the same members
// choose so that each is probed by exactly as many others as it probes.
//
// The nodes stand on a ring, in the order of a hash of their names, so that
// neighbours on the ring are not neighbours in the rack; each probes those
// that stand k fixed distances further on. The distances grow by powers, so
// that few steps lead from any node to any other.
func neighbours(self string, peers []Peer, k int) []Peer {
	type place struct {
		hash [sha256.Size]byte
		Peer
	}
	ring := make([]place, 0, len(peers)+1)
	ring = append(ring, place{sha256.Sum256([]byte(self)), Peer{Name: self}})
	for _, p := range peers {
		if p.Name != self {
			ring = append(ring, place{sha256.Sum256([]byte(p.Name)), p})
		}
	}
	slices.SortFunc(ring, func(a, b place) int {
		return cmp.Or(bytes.Compare(a.hash[:], b.hash[:]), strings.Compare(a.Name, b.Name))
	})
	at := slices.IndexFunc(ring, func(p place) bool { return p.Name == self })
	var chosen []Peer
	for _, d := range distances(len(ring), k) {
		chosen = append(chosen, ring[(at+d)%len(ring)].Peer)
	}
	slices.SortFunc(chosen, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return chosen
}

// distances returns k different steps on a ring of n nodes, or all n-1. They
// stay the same until n has doubled, so that one node that joins or leaves
// moves only the few neighbours that it stands between.
func distances(n, k int) []int {
	k = min(k, n-1)
	if k < 1 {
		return nil
	}
	whole := float64(uint(1) << (bits.Len(uint(n)) - 1)) // the largest power of two up to n
	steps := make([]int, k)
	for j := range steps {
		steps[j] = int(math.Round(math.Pow(whole, float64(j)/float64(k))))
		if j > 0 {
			steps[j] = max(steps[j], steps[j-1]+1)
		}
	}
	return steps
}
