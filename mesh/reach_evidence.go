package mesh

import (
	"maps"
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/reach"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

func sortedNames(members map[string]Member) []string { return slices.Sorted(maps.Keys(members)) }

// evidence gathers what is known now.
func (r *reacher) evidence(members map[string]Member, held map[string]state.Held, now time.Time) reach.Evidence {
	e := reach.Evidence{
		Self: r.cfg.Node, Now: now, Members: make([]reach.Member, 0, len(members)),
		Links: map[string]map[string]reach.Link{r.cfg.Node: r.links(now)},
	}
	if since := r.seeking.Load(); since != nil {
		e.Seeking = *since
	}
	r.mu.Lock()
	for _, name := range r.names {
		m := reach.Member{
			Name: name, Age: -1, Since: members[name].Since,
			Failed: members[name].State == MemberFailed,
			Away:   members[name].State == MemberLeaving || members[name].Maintenance != "",
		}
		if h, ok := held[name]; ok {
			m.Age, m.Interval = max(0, now.Sub(h.Fresh)), h.Interval
		}
		if w := r.watched[name]; w != nil {
			m.Exchange, m.Refused = w.exchange, w.refused
		}
		e.Members = append(e.Members, m)
	}
	r.mu.Unlock()
	for i := range e.Members {
		if m := &e.Members[i]; m.Age >= 0 && m.Age <= reach.Overdue(m.Interval) {
			e.Links[m.Name] = r.said.of(held[m.Name])
		}
	}
	r.said.forget(members)
	return e
}

// sought takes in whether somebody was found to join.
func (r *reacher) sought(found bool) {
	switch {
	case found:
		r.seeking.Store(nil)
	case r.seeking.Load() == nil:
		now := r.cfg.Now()
		r.seeking.Store(&now)
	}
}

// links is what this node itself knows of its ways to its neighbours. It
// wakes who waits for changed when that is news.
func (r *reacher) links(now time.Time) map[string]reach.Link {
	r.mu.Lock()
	defer r.mu.Unlock()
	links := make(map[string]reach.Link, len(r.watched))
	news := false
	for name, w := range r.watched {
		if !w.near {
			continue
		}
		l := reach.Link{Exchange: w.exchange.State(), Gossip: w.gossip.State()}
		switch last := r.gossip.packets.last(w.inbound); {
		case !last.IsZero() && now.Sub(last) < inboundFor:
			l.Inbound = reach.Open
		case w.told.Inbound != reach.Untried:
			l.Inbound = reach.Shut
		}
		links[name] = l
		news = news || l != w.told
		w.told = l
	}
	if news {
		signal(r.changed)
	}
	return links
}

// The families in which a node tells of its links.
const (
	peerUpName    = "grapevine_mesh_peer_up"
	labelPeer     = "peer"
	labelPath     = "path"
	pathExchange  = "exchange"
	pathGossip    = "gossip"
	pathInbound   = "inbound"
	maxLinksHeard = 3 * 64 // series of one node that are read
)

// observations are the links that others tell of, by node, and in which of
// their words they told it.
type observations map[string]struct {
	version frame.Version
	links   map[string]reach.Link
}

// of returns the links that a node tells of.
func (o observations) of(h state.Held) map[string]reach.Link {
	known, ok := o[h.Name]
	if !ok || known.version != h.Version {
		known.version, known.links = h.Version, linksOf(h.Snapshot)
		o[h.Name] = known
	}
	return known.links
}

// forget drops those that are no members any more.
func (o observations) forget(members map[string]Member) {
	for name := range o {
		if _, ok := members[name]; !ok {
			delete(o, name)
		}
	}
}

// linksOf reads what a node tells of its links.
func linksOf(s *health.Snapshot) map[string]reach.Link {
	links := map[string]reach.Link{}
	if s == nil || s.Schema == nil {
		return links
	}
	at := 0
	for i := range s.Schema.Families {
		f := &s.Schema.Families[i]
		if f.Name != peerUpName {
			at += f.Width()
			continue
		}
		if f.Type != health.Gauge || at+len(f.Series) > len(s.Values) {
			return links
		}
		for j := range f.Series[:min(len(f.Series), maxLinksHeard)] {
			peer, path := "", ""
			for _, l := range f.Series[j].Labels {
				switch l.Name {
				case labelPeer:
					peer = l.Value
				case labelPath:
					path = l.Value
				}
			}
			way := reach.Shut
			if s.Values[at+j] == 1 {
				way = reach.Open
			}
			l := links[peer]
			switch path {
			case pathExchange:
				l.Exchange = way
			case pathGossip:
				l.Gossip = way
			case pathInbound:
				l.Inbound = way
			}
			links[peer] = l
		}
		return links
	}
	return links
}
