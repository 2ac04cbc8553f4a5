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

// prepare finds the plan for the chosen nodes and fills in what rendering
// each of them needs. known is the number of nodes in the View.
func (r *Renderer) prepare(s *scratch, known int, o Options) *plan {
	s.key = s.key[:0]
	for i := range s.nodes {
		var schema *health.Schema
		if snapshot := s.nodes[i].Snapshot; snapshot != nil {
			schema = snapshot.Schema
		}
		s.key = append(s.key, schema)
	}
	now := r.now()

	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.caches[o.Format]
	all := len(o.Nodes) == 0
	if !all && len(c.fixed) > known {
		// Filtered scrapes alone never see which schemas are gone, but more
		// than there are nodes cannot all be in use.
		*c = cache{}
	}
	p := c.planFor(s.key, all, o.Format)
	malformed := p.malformed
	for i := range s.nodes {
		n := &s.nodes[i]
		if p.of[i] < 0 {
			continue
		}
		x := p.schemas[p.of[i]]
		if len(n.Snapshot.Values) != x.width {
			malformed += len(x.families)
			continue
		}
		n.schema, n.values = p.of[i], n.Snapshot.Values
		if o.Timestamps {
			n.stamp = o.Format.appendStamp(nil, r.stampOf(n, now))
		}
	}
	if len(r.stamps) > 2*known {
		r.forgetStamps(s.nodes)
	}
	if all {
		r.dropped.WithLabelValues("type_conflict").Set(float64(p.conflicts))
		r.dropped.WithLabelValues("malformed").Set(float64(malformed))
	}
	return p
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
