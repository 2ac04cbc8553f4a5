package mesh

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grapevine-mesh/grapevine/mesh/exchange"
	"github.com/grapevine-mesh/grapevine/mesh/reach"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

const (
	// probeCalm is the pace at which a node tries its ways to a neighbour,
	// probeUrgent that while it is in doubt.
	probeCalm   = 3 * time.Second
	probeUrgent = time.Second
	// probeTimeout bounds a try: far more than a way takes that is of use.
	probeTimeout = 1500 * time.Millisecond
	// maxProbes bounds the tries under way, and maxLate those of a tick that
	// go to members that are no neighbours and late: drawn by chance, so that
	// half of a large mesh falling silent is no storm of probes.
	maxProbes = 32
	maxLate   = 4

	reachTick   = 500 * time.Millisecond
	pictureTick = time.Second

	// inboundFor is how long a packet of the gossip says that packets arrive:
	// a neighbour sends one at probeCalm at least.
	inboundFor = 7 * time.Second
)

// reacher tries the ways to others and makes a picture of who is reached.
type reacher struct {
	*Mesh
	judge reach.Judge
	said  observations
	found chan Member // there, although the gossip of either end does not say so

	names, neighbours []string // the latter among the former; of the loop alone

	mu      sync.Mutex // guards watched
	watched map[string]*watched

	picture atomic.Pointer[reach.Picture] // nil: none yet
	changed chan struct{}                 // a way has opened or shut
	seeking atomic.Pointer[time.Time]     // since when nobody was found to join; nil: somebody was, or nobody is sought
}

// watched is a member whose ways are tried.
type watched struct {
	near             bool // a neighbour; else one whose words are late
	exchange, gossip reach.Trail
	refused          bool // nobody listened when last tried
	busy             bool // a try is under way
	next             time.Time
	inbound          netip.AddrPort
	told             reach.Link // as last compared
}

func newReacher(m *Mesh) *reacher {
	return &reacher{
		Mesh: m, watched: map[string]*watched{}, said: observations{},
		found: make(chan Member, maxProbes), changed: make(chan struct{}, 1),
	}
}

// watch tries ways and judges until ctx ends.
func (r *reacher) watch(ctx context.Context) {
	var probes errgroup.Group
	probes.SetLimit(maxProbes)
	defer probes.Wait() //nolint:errcheck // a probe that fails is an answer
	tick := time.NewTicker(reachTick)
	defer tick.Stop()
	var judged time.Time
	for {
		now := r.cfg.Now()
		members, held := r.others(), r.held()
		r.choose(members, held, now)
		for _, name := range r.due(members, held, now) {
			member := members[name]
			if !probes.TryGo(func() error { r.probe(ctx, name, member); return nil }) {
				r.put(name, func(w *watched) { w.busy = false })
			}
		}
		if now.Sub(judged) >= pictureTick {
			judged = now
			picture := r.judge.Picture(r.evidence(members, held, now))
			r.picture.Store(&picture)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// others are the members beside this node that have not said goodbye.
func (r *reacher) others() map[string]Member {
	members := r.gossip.all()
	for name, m := range members {
		if name == r.cfg.Node || m.State == MemberLeft {
			delete(members, name)
		}
	}
	return members
}

func (r *reacher) held() map[string]state.Held {
	nodes := r.store.Nodes()
	held := make(map[string]state.Held, len(nodes))
	for _, h := range nodes {
		held[h.Name] = h
	}
	return held
}

// choose settles whom to watch: the neighbours, and those that are late.
func (r *reacher) choose(members map[string]Member, held map[string]state.Held, now time.Time) {
	names := sortedNames(members)
	if !slices.Equal(names, r.names) {
		r.names, r.neighbours = names, reach.Neighbours(r.cfg.Node, names, reach.Degree(len(names)+1))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, w := range r.watched {
		_, near := slices.BinarySearch(r.neighbours, name)
		_, known := members[name]
		w.near = near
		if !w.busy && (!known || !near && !late(held, name, now)) {
			delete(r.watched, name)
		}
	}
	var addresses []netip.AddrPort
	for _, name := range r.neighbours {
		w := r.watched[name]
		if w == nil {
			w = &watched{near: true}
			r.watched[name] = w
		}
		w.inbound, _ = netip.ParseAddrPort(members[name].Addr) // none: nothing is heard
		if w.inbound.IsValid() {
			addresses = append(addresses, w.inbound)
		}
	}
	r.gossip.packets.listenFor(addresses)
}

func late(held map[string]state.Held, name string, now time.Time) bool {
	h, ok := held[name]
	return !ok || now.Sub(h.Fresh) > reach.Late(h.Interval)
}

// due draws whom to try now, and marks them busy.
func (r *reacher) due(members map[string]Member, held map[string]state.Held, now time.Time) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var due, strays []string
	for _, name := range r.names {
		w := r.watched[name]
		switch {
		case members[name].Exchange == "", w != nil && (w.busy || now.Before(w.next)):
		case w != nil && w.near:
			due = append(due, name)
		case late(held, name, now):
			strays = append(strays, name)
		}
	}
	rand.Shuffle(len(strays), func(i, j int) { strays[i], strays[j] = strays[j], strays[i] })
	due = append(due, strays[:min(len(strays), maxLate)]...)
	for _, name := range due {
		if r.watched[name] == nil {
			r.watched[name] = &watched{}
		}
		r.watched[name].busy = true
	}
	return due
}

// probe tries the ways to a member once.
func (r *reacher) probe(ctx context.Context, name string, member Member) {
	began := r.cfg.Now()
	var near bool
	r.put(name, func(w *watched) { near = w.near })
	var gossip errgroup.Group
	address, err := netip.ParseAddrPort(member.Addr)
	pinged := near && err == nil
	if pinged {
		gossip.Go(func() error { return r.gossip.ping(name, address) })
	}
	pingCtx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err = r.exchange.Ping(pingCtx, name, member.Exchange)
	gossipErr := gossip.Wait()
	if ctx.Err() != nil {
		return
	}
	now := r.cfg.Now()
	r.put(name, func(w *watched) {
		w.busy = false
		w.exchange.Note(err == nil, now)
		w.refused = errors.Is(err, syscall.ECONNREFUSED)
		if pinged {
			w.gossip.Note(gossipErr == nil, now)
		}
		w.next = began.Add(probeCalm)
		if w.exchange.Doubtful() || w.gossip.Doubtful() {
			w.next = began.Add(probeUrgent)
		}
	})
	switch {
	case err == nil:
		r.welcome(ctx, name, member, pinged && gossipErr != nil)
	case errors.Is(err, exchange.ErrRefused):
		// Most likely its gossip has missed us, and would for half a minute.
		r.meet(member)
	}
}

// welcome brings in a member that answers, although its words are late or the
// gossip has given it up: after a partition nobody waits for the others' pace.
func (r *reacher) welcome(ctx context.Context, name string, member Member, deaf bool) {
	if late(r.held(), name, r.cfg.Now()) {
		r.observer.round(r.exchange.Sync(ctx, name, member.Exchange), name)
	}
	if member.State == MemberFailed && !deaf {
		r.meet(member)
	}
}

// meet has a member told by the gossip who is here.
func (r *reacher) meet(member Member) {
	select {
	case r.found <- member:
	default: // there is enough to do, and the next try comes soon
	}
}

// put changes what is known of a watched member, if it still is one.
func (r *reacher) put(name string, change func(*watched)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.watched[name]; w != nil {
		change(w)
	}
}
