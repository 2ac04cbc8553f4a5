package reach

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// cut is a way between two members that does not work. For a OneWay packets
// get lost from one to the other; else from is who tries in vain.
type cut struct {
	kind     Kind
	from, to string
}

// cuts are those between members that are both reached, by what the members
// themselves say of each other.
func cuts(e *Evidence, reached []string) map[cut]bool {
	found := map[cut]bool{}
	there := func(name string) bool {
		_, ok := slices.BinarySearch(reached, name)
		return ok
	}
	for observer, links := range e.Links {
		if !there(observer) {
			continue
		}
		for peer, l := range links {
			if !there(peer) || peer == observer {
				continue
			}
			if c, ok := cutOf(observer, peer, l, e.Links[peer][observer]); ok {
				found[c] = true
			}
		}
	}
	return found
}

// cutOf is what is wrong on the way from an observer to a peer, by what the
// observer says, and back what the peer says of the observer.
func cutOf(observer, peer string, l, back Link) (cut, bool) {
	switch {
	case l.Exchange == Shut && l.Gossip == Open:
		return cut{ExchangeCut, observer, peer}, true
	case l.Exchange == Open && l.Gossip == Shut:
		return cut{GossipCut, observer, peer}, true
	case l.Exchange != Shut || l.Gossip != Shut:
		return cut{}, false
	// Nothing comes back from the peer. Who of the two hears the other?
	case l.Inbound == Open && back.Inbound != Open:
		return cut{OneWay, observer, peer}, true
	case l.Inbound != Open && back.Inbound == Open:
		return cut{OneWay, peer, observer}, true
	default:
		return cut{PairCut, observer, peer}, true
	}
}

// bundle is cuts of one kind that lie between the same two groups of members.
type bundle struct {
	kind     Kind
	from, to []string // sorted
	both     bool     // in either direction
	since    time.Time
}

// bundles puts cuts together: who does not reach the same members stands for
// one group.
func bundles(found map[cut]time.Time) []bundle {
	type edge struct {
		kind Kind
		both bool
	}
	peers := map[edge]map[string][]string{} // by who tries in vain
	for c := range found {
		_, both := found[cut{c.kind, c.to, c.from}]
		e := edge{c.kind, both}
		if peers[e] == nil {
			peers[e] = map[string][]string{}
		}
		peers[e][c.from] = append(peers[e][c.from], c.to)
	}
	var all []bundle
	for e, from := range peers {
		groups := map[string]*bundle{}
		for _, name := range slices.Sorted(maps.Keys(from)) {
			to := from[name]
			slices.Sort(to)
			key := strings.Join(to, "\x00")
			if groups[key] == nil {
				groups[key] = &bundle{kind: e.kind, to: to, both: e.both}
			}
			b := groups[key]
			b.from = append(b.from, name)
			for _, peer := range to {
				if first := found[cut{e.kind, name, peer}]; b.since.IsZero() || first.Before(b.since) {
					b.since = first
				}
			}
		}
		for _, b := range groups {
			if !e.both || slices.Compare(b.from, b.to) < 0 { // the other direction says the same
				all = append(all, *b)
			}
		}
	}
	slices.SortFunc(all, func(a, b bundle) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(len(b.from)*len(b.to), len(a.from)*len(a.to)), slices.Compare(a.from, b.from), slices.Compare(a.to, b.to))
	})
	return all
}
