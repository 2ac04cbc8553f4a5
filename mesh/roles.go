package mesh

import (
	"slices"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/spread"
)

// Role is what a node does for the others' series.
type Role uint8

// The roles. Below --mesh.byte-budget everybody is Full.
const (
	Full       Role = iota // holds all series of all nodes, as everybody does
	Aggregator             // holds them, and answers for leaves
	Leaf                   // holds its own series, and the verdicts and ages of all
)

// Roles lists the roles in the order of their numbers.
var Roles = []Role{Full, Aggregator, Leaf}

// String returns full, aggregator or leaf.
func (r Role) String() string { return [...]string{"full", "aggregator", "leaf"}[r] }

// TagZone is the name in Config.Tags of where a node is: what is likely to
// fail together, such as a site. Each zone has aggregators of its own.
const TagZone = "zone"

const (
	// overhead is what spreading a frame costs beside its bytes: heads, TLS,
	// duplicates, digests.
	overhead = 1.3
	// backBelow is the share of the budget at which a cluster goes back to
	// everybody holding everything: not at the first node that leaves.
	backBelow = 0.8
	// minAggregators a zone has, so that two may be lost at once.
	minAggregators = 3
	// leavesEach is how many leaves an aggregator is to serve, so that this
	// costs it about as much as it pays for the frames of all.
	leavesEach = 64
)

// roles is who does what, as this node sees it. Each node works it out for
// itself from the living members, so there is nobody to elect and nothing to
// agree on: nodes whose views differ for a moment choose differently for a
// moment, which costs a detour.
type roles struct {
	self   string
	budget float64 // bytes per second; 0: never any but Full

	mu         sync.RWMutex // guards all below
	role       Role
	projected  float64  // bytes per second if all were Full
	frameBytes float64  // mean of all nodes' frames, as last known
	near       []string // aggregators of this node's zone, in the order in which it prefers them
	all        []string // aggregators of every zone, sorted
}

// sizes notes the mean size of frames; 0 is not known.
func (r *roles) sizes(mean float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if mean > 0 {
		r.frameBytes = mean
	}
}

// update works out the roles anew. It returns that of this node, and who takes
// part in spreading all frames. pace is how often so many members send one.
func (r *roles) update(members map[string]Member, pace func(members int) time.Duration) (role Role, taking []string) {
	zones := map[string][]string{}
	var living []string
	for name, m := range members {
		if m.State == MemberAlive && m.Exchange != "" {
			zones[m.Tags[TagZone]] = append(zones[m.Tags[TagZone]], name)
			living = append(living, name)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.projected = float64(len(living)) * r.frameBytes / pace(len(living)).Seconds() * overhead
	limit := r.budget
	if r.role != Full {
		limit *= backBelow
	}
	if r.budget == 0 || r.projected <= limit {
		r.role, r.near, r.all = Full, nil, nil
		return Full, living
	}
	home := members[r.self].Tags[TagZone]
	r.near, r.all = nil, nil
	for zone, names := range zones {
		chosen := aggregators(zone, names)
		if zone == home {
			r.near = slices.Clone(chosen)
			spread.ByPreference(r.self, r.near)
		}
		r.all = append(r.all, chosen...)
	}
	slices.Sort(r.all)
	if slices.Contains(r.near, r.self) {
		r.role = Aggregator
		return Aggregator, r.all
	}
	r.role = Leaf
	return Leaf, []string{r.self}
}

// serves reports whether this node passes on what peer casts, who is no
// aggregator.
func (r *roles) serves(peer string) bool {
	role, _, all := r.now()
	return role == Aggregator && !slices.Contains(all, peer)
}

// aggregators picks those of a zone by rendezvous hashing: who comes or goes
// moves at most one place.
func aggregators(zone string, names []string) []string {
	n := max(minAggregators, (len(names)+leavesEach-1)/leavesEach)
	spread.ByPreference(zone, names)
	return names[:min(n, len(names))]
}

// now returns this node's role and the aggregators: those near in order of
// preference, and all.
func (r *roles) now() (role Role, near, all []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.role, r.near, r.all
}

// load returns what this node would receive per second if all were Full.
func (r *roles) load() float64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.projected
}
