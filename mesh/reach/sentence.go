package reach

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

const (
	// maxNames bounds the names in one list of a sentence.
	maxNames = 8
	// maxBundles bounds the findings of one kind: beyond, one of them stands
	// for all.
	maxBundles = 4
)

// list writes names as part of a sentence.
func list(names []string) string {
	if len(names) <= maxNames {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), len(names)-maxNames)
}

// split says how the other side is cut off.
func split(e *Evidence, p *Picture) Finding {
	f := Finding{Kind: Split, Status: health.Critical, Since: p.Since, About: slices.Concat(p.Reached, p.OtherSide)}
	slices.Sort(f.About)
	how := "nothing passes between them"
	switch gossip, inbound := passing(e, p.OtherSide); {
	case gossip:
		how = "the gossip passes between them and the exchange does not, so look for a filter on the port of the exchange"
	case inbound:
		how = "packets from that side arrive here, those from here do not arrive there"
	}
	if len(p.Reached) == 1 {
		f.Text = fmt.Sprintf("%s is cut off from all %d other members it knows of (%s): %s", e.Self, len(p.OtherSide), list(p.OtherSide), how)
		return f
	}
	f.Text = fmt.Sprintf("the mesh is split: %d of %d members on this side (%s), %d on the other (%s): %s",
		len(p.Reached), p.Known, list(p.Reached), len(p.OtherSide), list(p.OtherSide), how)
	return f
}

// passing tells what still passes between this side and most of the lost ones
// that somebody looks at: by what Self itself sees, if it looks at any.
func passing(e *Evidence, lost []string) (gossip, inbound bool) {
	observers := []string{e.Self}
	if !slices.ContainsFunc(lost, func(name string) bool { return e.Links[e.Self][name].Known() }) {
		observers = slices.Collect(maps.Keys(e.Links))
	}
	var looked, gossiping, arriving int
	for _, observer := range observers {
		for _, name := range lost {
			l := e.Links[observer][name]
			if !l.Known() {
				continue
			}
			looked++
			if l.Gossip == Open {
				gossiping++
			}
			if l.Inbound == Open {
				arriving++
			}
		}
	}
	return 2*gossiping > looked, 2*arriving > looked
}

// alone says that a node that has started finds nobody: it may be on the
// smaller side of a split that it has not seen begin.
func alone(e *Evidence) Finding {
	return Finding{
		Kind: Alone, Status: health.Warning, Since: e.Seeking, About: []string{e.Self},
		Text: e.Self + " knows no other member: none of its seeds and of those it remembers from before answers",
	}
}

// unreachable says why a member that fell silent alone is no split.
func unreachable(m *Member, o Observers, now time.Time) Finding {
	f := Finding{Kind: Unreachable, Status: health.Unknown, Since: m.last(now), About: []string{m.Name}}
	switch {
	case m.Away:
		f.Text = m.Name + " is away, as it had announced"
	case m.Refused:
		f.Text = m.Name + " is not reached: its host answers that no agent listens there"
	case o.Looking == 0:
		f.Text = m.Name + " is not reached: it is down or cut off, and nobody here looks at it directly"
	case len(o.Failing) == o.Looking:
		f.Text = fmt.Sprintf("%s is not reached by any of the %d that look at it: it is down, or cut off alone", m.Name, o.Looking)
	default:
		f.Text = fmt.Sprintf("%s is not reached by %d of the %d that look at it (%s)", m.Name, len(o.Failing), o.Looking, list(o.Failing))
	}
	return f
}

// told puts cuts into words.
func told(found map[cut]time.Time) []Finding {
	var findings []Finding
	all := bundles(found)
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(b bundle) bool { return b.kind != all[0].kind })
		if n < 0 {
			n = len(all)
		}
		same := all[:n]
		all = all[n:]
		if n > maxBundles {
			findings = append(findings, summary(same))
			continue
		}
		for _, b := range same {
			findings = append(findings, b.finding())
		}
	}
	return findings
}

func (b *bundle) finding() Finding {
	about := slices.Concat(b.from, b.to)
	slices.Sort(about)
	from, to := list(b.from), list(b.to)
	between := fmt.Sprintf("from %s to %s", from, to)
	if b.both {
		between = fmt.Sprintf("between %s and %s", from, to)
	}
	f := Finding{Kind: b.kind, Status: health.Warning, About: slices.Compact(about), Since: b.since}
	switch b.kind {
	case OneWay:
		f.Text = fmt.Sprintf("cut in one direction: packets from %s to %s get lost, those from %s to %s arrive", from, to, to, from)
	case ExchangeCut:
		f.Text = fmt.Sprintf("the exchange %s fails while the gossip works: is its port filtered, or a certificate refused?", between)
	case GossipCut:
		f.Text = fmt.Sprintf("the gossip %s fails while the exchange works: is its port filtered, TCP or UDP?", between)
	default:
		f.Text = fmt.Sprintf("nothing passes %s, while others reach both", between)
	}
	return f
}

// summary is for more bundles of one kind than anybody reads.
func summary(same []bundle) Finding {
	what := map[Kind]string{
		OneWay: "packets in one direction get lost", ExchangeCut: "the exchange fails while the gossip works",
		GossipCut: "the gossip fails while the exchange works", PairCut: "nothing passes",
	}[same[0].kind]
	f := Finding{Kind: same[0].kind, Status: health.Warning, Since: same[0].since}
	pairs := 0
	for _, b := range same {
		pairs += len(b.from) * len(b.to)
		f.About = append(append(f.About, b.from...), b.to...)
		if b.since.Before(f.Since) {
			f.Since = b.since
		}
	}
	slices.Sort(f.About)
	f.About = slices.Compact(f.About)
	f.Text = fmt.Sprintf("%s between %d pairs of members, such as %s and %s", what, pairs, same[0].from[0], same[0].to[0])
	return f
}
