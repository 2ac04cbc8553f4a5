package collectors

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// nodes returns n peers by name only.
func nodes(n int) []Peer {
	peers := make([]Peer, n)
	for i := range peers {
		peers[i].Name = fmt.Sprintf("node-%d", i)
	}
	return peers
}

// edges is who probes whom when every node sees all others, each in an order
// of its own.
func edges(t *testing.T, all []Peer, k int) map[string][]string {
	t.Helper()
	graph := make(map[string][]string)
	for i, self := range all {
		others := slices.Concat(all[:i], all[i+1:])
		rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
		for _, p := range neighbours(self.Name, others, k) {
			graph[self.Name] = append(graph[self.Name], p.Name)
		}
	}
	return graph
}

func TestEveryNodeIsProbedByKOthers(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 200; n++ {
		for _, k := range []int{5, 1, 2, 8} {
			if k != 5 && n > 40 {
				continue
			}
			want := min(k, n-1)
			probed := make(map[string]int)
			for self, chosen := range edges(t, nodes(n), k) {
				if len(chosen) != want {
					t.Fatalf("%d nodes, k=%d: %s probes %d", n, k, self, len(chosen))
				}
				if !slices.IsSorted(chosen) || len(slices.Compact(slices.Clone(chosen))) != want || slices.Contains(chosen, self) {
					t.Fatalf("%d nodes, k=%d: %s probes %v", n, k, self, chosen)
				}
				for _, name := range chosen {
					probed[name]++
				}
			}
			for name, times := range probed {
				if times != want {
					t.Fatalf("%d nodes, k=%d: %s is probed by %d", n, k, name, times)
				}
			}
			if want > 0 && len(probed) != n {
				t.Fatalf("%d nodes, k=%d: only %d are probed", n, k, len(probed))
			}
		}
	}
}

// A node that joins moves few neighbours, save where the count doubles.
func TestJoinMovesFewNeighbours(t *testing.T) {
	t.Parallel()
	const k = 5
	for n := 10; n < 140; n += 7 {
		before, after := edges(t, nodes(n), k), edges(t, nodes(n+1), k)
		moved := 0
		for self, chosen := range before {
			for _, name := range after[self] {
				if !slices.Contains(chosen, name) {
					moved++
				}
			}
		}
		if (n+1)&n != 0 && moved > n*k*2/5 {
			t.Errorf("%d nodes: one more moved %d of %d neighbours", n, moved, n*k)
		}
	}
}

func TestSelfAmongPeers(t *testing.T) {
	t.Parallel()
	if got := neighbours("node-1", nodes(3), 5); len(got) != 2 || got[0].Name != "node-0" || got[1].Name != "node-2" {
		t.Errorf("neighbours: %v", got)
	}
	if got := neighbours("node-1", nil, 5); got != nil {
		t.Errorf("alone: %v", got)
	}
}
