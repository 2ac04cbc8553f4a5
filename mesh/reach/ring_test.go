package reach

import (
	"fmt"
	"slices"
	"testing"
)

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("node-%d", i)
	}
	return all
}

func TestWhoLooksAtWhomIsMutual(t *testing.T) {
	t.Parallel()
	sizes := []int{1, 2, 8, 9, 10, 11, 16, 33, 100, 600, 1001}
	for _, n := range sizes {
		all, k := names(n), Degree(n)
		chosen := map[string][]string{}
		for i, self := range all {
			others := slices.Concat(all[i+1:], all[:i]) // each has an order of its own
			chosen[self] = Neighbours(self, others, k)
		}
		for self, peers := range chosen {
			if want := min(k, n-1); len(peers) != want || len(slices.Compact(slices.Clone(peers))) != want {
				t.Fatalf("%d nodes: %s looks at %v, want %d", n, self, peers, want)
			}
			for _, peer := range peers {
				if peer == self || !slices.Contains(chosen[peer], self) {
					t.Fatalf("%d nodes: %s looks at %s, which looks at %v", n, self, peer, chosen[peer])
				}
			}
		}
	}
}

// A node that joins moves few neighbours, save where the count doubles.
func TestJoinMovesFewNeighbours(t *testing.T) {
	t.Parallel()
	for _, n := range []int{40, 90, 200} {
		before, after := names(n), names(n+1)
		moved := 0
		for _, self := range before {
			now := Neighbours(self, after, 8)
			for _, peer := range Neighbours(self, before, 8) {
				if !slices.Contains(now, peer) {
					moved++
				}
			}
		}
		if moved > n*8*2/5 {
			t.Errorf("%d nodes: one more moved %d of %d neighbours", n, moved, n*8)
		}
	}
}
