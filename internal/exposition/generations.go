package exposition

import (
	"unsafe"

	"github.com/grapevine-mesh/grapevine/health"
)

// generations number what the groups of nodes say: a group whose nodes say
// something else than when it was last looked at gets a number above all
// others. Comparing numbers then tells whether a section is still true.
type generations struct {
	newest uint64
	seen   []said   // by node
	of     []uint64 // by group
}

// said is what the rendering of a node depends on. Values are told apart by
// where they are, as nobody ever writes to them: held here, that place is not
// used again.
type said struct {
	name           string
	schema         *health.Schema
	values         *float64
	epoch, version uint64
}

// update numbers the groups of nodes anew and returns them.
func (g *generations) update(nodes []shown) []uint64 {
	groups := (len(nodes) + groupSize - 1) / groupSize
	if len(g.seen) != len(nodes) {
		g.seen, g.of = make([]said, len(nodes)), make([]uint64, groups)
	}
	next := g.newest + 1
	for i := range nodes {
		n := &nodes[i]
		now := said{name: n.Name, epoch: n.Epoch, version: n.Version, values: unsafe.SliceData(n.values)}
		if n.Snapshot != nil {
			now.schema = n.Snapshot.Schema
		}
		if now != g.seen[i] || g.of[i/groupSize] == 0 {
			g.seen[i], g.of[i/groupSize] = now, next
			g.newest = next
		}
	}
	return g.of
}

// latest is the newest generation of a section's groups.
func latest(of []uint64, s *section) uint64 {
	newest := uint64(0)
	for _, g := range of[s.groups[0]:s.groups[1]] {
		newest = max(newest, g)
	}
	return newest
}

// forget drops what the nodes said. Numbers go on from where they are.
func (g *generations) forget() { g.seen, g.of = nil, nil }
