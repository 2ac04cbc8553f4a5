package mesh

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxRounds is how many exchanges this node has under way at once at most:
// a peer that hangs takes one of them, not all.
const maxRounds = 4

// repair compares what it holds with one peer at a time, at the pace of
// ExchangeInterval, and at once with one that has sent what cannot be read
// without it, until ctx ends.
func (m *Mesh) repair(ctx context.Context) {
	var rounds errgroup.Group
	rounds.SetLimit(maxRounds)
	defer rounds.Wait() //nolint:errcheck // rounds report to the observer
	for {
		jitter := rand.N(m.cfg.ExchangeInterval/5 + 1)
		var name, address string
		select {
		case <-ctx.Done():
			return
		case name = <-m.behind:
			address = m.exchangeOf(name)
		case <-time.After(m.cfg.ExchangeInterval - jitter):
			if role, _, _ := m.roles.now(); role == Leaf {
				rounds.TryGo(func() error { m.leaf.inquire(ctx); return nil })
				continue
			}
			name, address = m.pick()
		}
		if address == "" {
			continue
		}
		rounds.TryGo(func() error {
			m.observer.round(m.exchange.Sync(ctx, name, address), name)
			return nil
		})
	}
}

// pick draws a peer. Mostly it is one that the fast path has a connection to;
// now and then any, so that nothing stays within a circle of neighbours; and
// now and then one that serf has given up, so that a healed partition is found
// from either side.
func (m *Mesh) pick() (name, address string) {
	var alive, failed []string
	members := m.gossip.all()
	_, _, aggregators := m.roles.now()
	for name, member := range members {
		switch {
		case name == m.cfg.Node || member.Exchange == "":
		case member.State == MemberAlive || member.State == MemberLeaving:
			if aggregators == nil || slices.Contains(aggregators, name) {
				alive = append(alive, name)
			}
		case member.State == MemberFailed:
			failed = append(failed, name)
		}
	}
	from := alive
	if len(failed) > 0 && (len(alive) == 0 || rand.N(10) == 0) {
		from = failed
	} else if near := m.spread.Neighbours(); len(near) > 0 && rand.N(5) != 0 {
		from = near
	}
	if len(from) == 0 {
		return "", ""
	}
	name = from[rand.N(len(from))]
	return name, members[name].Exchange
}
