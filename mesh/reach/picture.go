package reach

import (
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// Picture is what one node makes of who reaches whom. It is immutable once
// made. The zero Picture is that of a node that has not looked yet.
type Picture struct {
	Known     int       // members, the node itself among them
	Reached   []string  // sorted; the node itself among them
	OtherSide []string  // sorted: those that fell silent together
	Down      []string  // sorted: those that fell silent alone, had said so, or whose host says that no agent runs
	Since     time.Time // when the last of OtherSide was last reached; zero: there is none

	// View is a hash of Reached: nodes that say the same reach the same.
	View uint32

	Findings []Finding // what is wrong, worst first

	// Observers is who looks at a node directly, by its name.
	Observers map[string]Observers
}

// Observers is how those who look at a node directly find it.
type Observers struct {
	Looking int      // whose words arrive here in time, this node among them
	Failing []string // sorted: those of them whose exchange with it does not work
}

// Finding is one thing that is wrong between members.
type Finding struct {
	Kind   Kind
	Status health.Status
	Text   string    // a sentence that names both ends
	About  []string  // sorted: the members it is about
	Since  time.Time // zero: not known
}

// Kind is what is cut.
type Kind string

// The kinds of findings.
const (
	Split       Kind = "split"       // members fell silent together, or all did
	OneWay      Kind = "one-way"     // packets get lost in one direction
	ExchangeCut Kind = "exchange"    // the gossip works and the exchange does not
	GossipCut   Kind = "gossip"      // the exchange works and the gossip does not
	PairCut     Kind = "pair"        // two members do not reach each other, and others reach both
	Unreachable Kind = "unreachable" // a member fell silent alone
	Alone       Kind = "alone"       // nobody is known, and nobody who should be there answers
)

// together is the time within which members are last heard of that are cut
// off by one event.
const together = 15 * time.Second

// Judge makes pictures, one after the other, and remembers since when what it
// sees is so. It is not safe for concurrent use; the zero Judge has seen
// nothing.
type Judge struct {
	first map[cut]time.Time // when a cut was first seen, of those seen last
}

// Picture judges what is seen now.
func (j *Judge) Picture(e Evidence) Picture {
	p := Picture{Known: len(e.Members) + 1, Reached: []string{e.Self}, Observers: observers(&e)}
	var lost []loss
	for i := range e.Members {
		m := &e.Members[i]
		switch {
		case m.reached(e.Now):
			p.Reached = append(p.Reached, m.Name)
		case m.Away || m.Refused:
			p.Down = append(p.Down, m.Name)
			p.Findings = append(p.Findings, unreachable(m, p.Observers[m.Name], e.Now))
		default:
			lost = append(lost, loss{m, m.last(e.Now)})
		}
	}
	slices.Sort(p.Reached)
	none := len(p.Reached) == 1 && len(lost) > 1
	for _, group := range events(lost, none) {
		for _, l := range group {
			if len(group) == 1 {
				p.Down = append(p.Down, l.Name)
				p.Findings = append(p.Findings, unreachable(l.Member, p.Observers[l.Name], e.Now))
				continue
			}
			p.OtherSide = append(p.OtherSide, l.Name)
			if l.at.After(p.Since) {
				p.Since = l.at
			}
		}
	}
	slices.Sort(p.OtherSide)
	slices.Sort(p.Down)
	p.View = crc32.ChecksumIEEE([]byte(strings.Join(p.Reached, "\x00")))
	if len(p.OtherSide) > 0 {
		p.Findings = append(p.Findings, split(&e, &p))
	}
	if len(e.Members) == 0 && !e.Seeking.IsZero() && e.Now.Sub(e.Seeking) >= grace {
		p.Findings = append(p.Findings, alone(&e))
	}
	p.Findings = append(p.Findings, j.cuts(&e, p.Reached)...)
	slices.SortStableFunc(p.Findings, func(a, b Finding) int {
		switch {
		case a.Status.WorseThan(b.Status):
			return -1
		case b.Status.WorseThan(a.Status):
			return +1
		}
		return strings.Compare(string(a.Kind), string(b.Kind))
	})
	return p
}

// settle is how long a cut must be seen before it is told: the two ends see it
// at different times, and what one says of it is on its way to the other.
const settle = 4 * time.Second

// cuts tells those that have settled.
func (j *Judge) cuts(e *Evidence, reached []string) []Finding {
	seen := make(map[cut]time.Time)
	settled := map[cut]time.Time{}
	for c := range cuts(e, reached) {
		first, ok := j.first[c]
		if !ok {
			first = e.Now
		}
		seen[c] = first
		if e.Now.Sub(first) >= settle {
			settled[c] = first
		}
	}
	j.first = seen
	return told(settled)
}

// loss is a member that is not reached any more.
type loss struct {
	*Member
	at time.Time // when it was last reached
}

// events groups those that were lost together. With one, all of them are one
// group.
func events(lost []loss, one bool) [][]loss {
	slices.SortFunc(lost, func(a, b loss) int { return a.at.Compare(b.at) })
	var groups [][]loss
	for i, l := range lost {
		if i > 0 && (one || l.at.Sub(lost[i-1].at) <= together) {
			groups[len(groups)-1] = append(groups[len(groups)-1], l)
			continue
		}
		groups = append(groups, []loss{l})
	}
	return groups
}

// observers counts who looks at whom.
func observers(e *Evidence) map[string]Observers {
	seen := make(map[string]Observers, len(e.Members)+1)
	for observer, links := range e.Links {
		for peer, l := range links {
			if l.Exchange == Untried {
				continue
			}
			o := seen[peer]
			o.Looking++
			if l.Exchange == Shut {
				o.Failing = append(o.Failing, observer)
			}
			seen[peer] = o
		}
	}
	for _, o := range seen {
		slices.Sort(o.Failing)
	}
	return seen
}

// Own are the findings that name the node self.
func (p *Picture) Own(self string) []Finding {
	var own []Finding
	for _, f := range p.Findings {
		if slices.Contains(f.About, self) {
			own = append(own, f)
		}
	}
	return own
}
