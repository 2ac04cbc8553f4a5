package exposition

import (
	"maps"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// frameStamp is when a node took its snapshot, by our clock, as we first
// worked it out. It is kept with the frame because working it out again gives
// a millisecond more or less, which a scraper would take for another sample.
type frameStamp struct {
	epoch, version uint64
	millis         int64 // since 1970
}

// prepare finds the plan for the chosen nodes, fills in what rendering each of
// them needs, and finds the shelf. known is the number of nodes in the View.
func (r *Renderer) prepare(a *answer, known int) {
	for i := range a.nodes {
		var schema *health.Schema
		if snapshot := a.nodes[i].Snapshot; snapshot != nil {
			schema = snapshot.Schema
		}
		a.key = append(a.key, schema)
	}
	now := r.now()

	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.caches[a.Format]
	all := len(a.Nodes) == 0 && a.Shard.Of == 0
	if c == nil || !all && len(c.fixed) > known {
		// Filtered scrapes alone never see which schemas are gone, but more
		// than there are nodes cannot all be in use.
		c = &cache{workshop: newWorkshop(a.Format)}
		r.caches[a.Format] = c
	}
	p := c.planFor(a.key, all)
	a.form = p.form
	malformed := p.malformed
	for i := range a.nodes {
		n := &a.nodes[i]
		n.label = a.mark(a.Format.appendLabel(a.marks, n.Name))
		x := p.nodes[i].fixed
		if x == nil {
			continue
		}
		if len(n.Snapshot.Values) != x.width {
			malformed += len(x.families)
			continue
		}
		n.column, n.values = p.nodes[i], n.Snapshot.Values
		if a.Timestamps {
			n.stamp = a.mark(a.Format.appendStamp(a.marks, r.stampOf(n, now)))
		}
	}
	if len(r.stamps) > 2*known {
		r.forgetStamps(a.nodes)
	}
	if all {
		r.dropped.WithLabelValues("type_conflict").Set(float64(p.conflicts))
		r.dropped.WithLabelValues("malformed").Set(float64(malformed))
		a.generations = append(a.generations[:0], r.generations.update(a.nodes)...)
		a.shelf = r.shelf(shelfKey{a.Format, a.Encoding, a.Timestamps}, now)
	}
}

// stampOf returns when n took its snapshot, in milliseconds since 1970. The
// caller holds r.mu.
func (r *Renderer) stampOf(n *shown, now time.Time) int64 {
	at, ok := r.stamps[n.Name]
	if !ok || at.epoch != n.Epoch || at.version != n.Version {
		at = frameStamp{n.Epoch, n.Version, now.Add(-max(n.Age, 0)).UnixMilli()}
		r.stamps[n.Name] = at
	}
	return at.millis
}

// forgetStamps keeps those of nodes. The caller holds r.mu.
func (r *Renderer) forgetStamps(nodes []shown) {
	names := make(map[string]bool, len(nodes))
	for i := range nodes {
		names[nodes[i].Name] = true
	}
	maps.DeleteFunc(r.stamps, func(name string, _ frameStamp) bool { return !names[name] })
}
