package spread

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// oneGroup is up to how many members everybody sends to everybody: two hops
// save nothing worth a second's delay.
const oneGroup = 24

// Groups is into how many groups n members fall: a power of two near the root
// of n, so that a node has about as many peers in its own group as there are
// other groups. before is what it was; it stays unless n has moved well away,
// so that a member more or less does not move everybody.
func Groups(n, before int) int {
	if n <= oneGroup {
		return 1
	}
	if before > 1 && n < 3*before*before && 3*n > before*before {
		return before
	}
	return 1 << int(math.Round(math.Log2(float64(n))/2))
}

// maxGroups bounds what a peer may claim.
const maxGroups = 1 << 10

func validGroups(n int) bool { return n > 0 && n <= maxGroups && bits.OnesCount(uint(n)) == 1 }

// groupOf is the group of a name among a power of two of them. Twice as many
// groups split each in two.
func groupOf(name string, groups int) int { return int(xxhash.Sum64String(name) & uint64(groups-1)) }

// ByPreference sorts candidates as name prefers them, by rendezvous hashing:
// each name prefers others, and somebody who comes or goes changes nobody
// else's place.
func ByPreference(name string, candidates []string) {
	scores := make(map[string]uint64, len(candidates))
	for _, c := range candidates {
		scores[c] = xxhash.Sum64String(name + "\x00" + c)
	}
	slices.SortFunc(candidates, func(a, b string) int {
		return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(a, b))
	})
}
