package reach

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// Degree is how many others each of n nodes looks at, and is looked at by.
// Eight find every split of some hundred nodes, ten those of thousands.
func Degree(n int) int {
	if n > 500 {
		return 10
	}
	return 8
}

// Neighbours returns those of names that the node self looks at, sorted. Who
// looks at whom is mutual, so that the two ends of a way can be compared. All
// nodes that know the same names choose alike: each has exactly k neighbours,
// k even, or all others when there are no more than k.
//
// The nodes stand on a ring in the order of a hash of their names, so that
// neighbours on the ring are not neighbours in the rack; each looks at those
// that stand k/2 fixed distances before and behind it. The distances grow by
// powers, so that few steps lead from any node to any other.
func Neighbours(self string, names []string, k int) []string {
	type place struct {
		hash [sha256.Size]byte
		name string
	}
	ring := []place{{sha256.Sum256([]byte(self)), self}}
	for _, name := range names {
		if name != self {
			ring = append(ring, place{sha256.Sum256([]byte(name)), name})
		}
	}
	n := len(ring)
	var chosen []string
	if n-1 <= k {
		for _, p := range ring[1:] {
			chosen = append(chosen, p.name)
		}
		slices.Sort(chosen)
		return chosen
	}
	slices.SortFunc(ring, func(a, b place) int {
		return cmp.Or(bytes.Compare(a.hash[:], b.hash[:]), strings.Compare(a.name, b.name))
	})
	at := slices.IndexFunc(ring, func(p place) bool { return p.name == self })
	for _, d := range distances(n, k/2) {
		chosen = append(chosen, ring[(at+d)%n].name, ring[(at-d+n)%n].name)
	}
	slices.Sort(chosen)
	return chosen
}

// distances returns count different steps, each less than half of a ring of n
// nodes. They stay the same until n has doubled, so that one node that joins
// or leaves moves only the few neighbours that it stands between.
func distances(n, count int) []int {
	half := float64(uint(1)<<(bits.Len(uint(n))-1)) / 2 // of the largest power of two up to n
	steps := make([]int, count)
	for j := range steps {
		steps[j] = int(math.Round(math.Pow(half, float64(j)/float64(count))))
		if j > 0 {
			steps[j] = max(steps[j], steps[j-1]+1)
		}
	}
	return steps
}
