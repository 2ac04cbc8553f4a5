package mesh

import (
	"sync"
	"time"
)

// goodbyes tells a member that says goodbye from one that serf only takes to.
// Serf orders a goodbye and a return by a clock of whole steps, which a stale
// peer's word can push on by itself. Then a node that has come back is leaving
// to some others, for good; and when it dies later, it has left, they say,
// and nobody would miss it.
type goodbyes struct {
	mu    sync.Mutex           // guards since
	since map[string]time.Time // since when a member has been leaving or has left
	late  map[string]bool      // those who were still there long after
}

// goodbyeTime is more than a goodbye takes.
const goodbyeTime = 15 * time.Second

// state is what to make of serf's word on a member.
func (g *goodbyes) state(name string, said MemberState, now time.Time) MemberState {
	g.mu.Lock()
	defer g.mu.Unlock()
	if said != MemberLeaving && said != MemberLeft {
		delete(g.since, name)
		delete(g.late, name)
		return said
	}
	if g.since == nil {
		g.since, g.late = map[string]time.Time{}, map[string]bool{}
	}
	if _, ok := g.since[name]; !ok {
		g.since[name] = now
	}
	switch {
	case said == MemberLeaving && now.Sub(g.since[name]) > goodbyeTime:
		g.late[name] = true
		return MemberAlive
	case said == MemberLeft && g.late[name]:
		return MemberFailed
	}
	return said
}

// keep forgets those who are no members any more.
func (g *goodbyes) keep(members map[string]Member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name := range g.since {
		if _, ok := members[name]; !ok {
			delete(g.since, name)
			delete(g.late, name)
		}
	}
}

// stuck reports whether a member that is said to have left has not said so.
func (g *goodbyes) stuck(name string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	since, ok := g.since[name]
	return g.late[name] || ok && now.Sub(since) > goodbyeTime
}
