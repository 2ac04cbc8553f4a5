// Package spread decides who passes which frame on to whom, so that each frame
// reaches every node within about a second, and about once. It opens no
// connection and takes the time from its caller, so that thousands of it can
// be run beside each other.
//
// The members fall into groups by a hash of their names. A node sends its own
// frame to the others of its group and to one relay in each other group; a
// relay gathers what it was given and passes it on to its group, all in one
// message. What gets lost on the way is for the exchange of digests to repair.
package spread

import (
	"slices"
	"sync"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// Config is what a Spread needs. All fields but Leaf are required.
type Config struct {
	Self  string
	Store *state.Store
	// Cast sends to all of to without waiting. groups other than 0 asks them
	// to pass it on, as members of one of so many groups.
	Cast func(to []string, groups int, d state.Delta)
	// Leaf reports whether a peer that is no member has its frame passed on to
	// all members; nil: none has.
	Leaf func(peer string) bool
	// Reachable reports whether what is cast to a peer probably arrives.
	Reachable func(peer string) bool
}

// Spread is one node's part in it. It is safe for concurrent use.
type Spread struct {
	cfg Config

	mu      sync.Mutex // guards all below
	members []string   // those alive, self among them
	groups  int
	layouts map[int]*layout     // by number of groups; emptied when members change
	pending map[string]relaying // by the name whose frame is to be passed on
	told    []frame.Hash        // schema and identity that the own group and the relays were sent
}

// relaying is what the owner of a frame asked for.
type relaying struct {
	groups int
	blobs  []frame.Hash // that came with it
	bases  []frame.Hash // of which some of them came as a change
}

// maxLayouts bounds the layouts kept. Views of the size differ by one step.
const maxLayouts = 4

// maxBatch bounds the bytes of frames in one message; the rest goes with the
// next one.
const maxBatch = 1 << 20

// maxHeldBlobs is how many blobs of one node are remembered for the next
// flush: of two changes or so.
const maxHeldBlobs = 8

// New returns a Spread that knows of no members.
func New(cfg Config) *Spread {
	return &Spread{cfg: cfg, groups: 1, layouts: map[int]*layout{}, pending: map[string]relaying{}}
}

// SetMembers says who is alive. The order does not matter.
func (s *Spread) SetMembers(names []string) {
	names = slices.Sorted(slices.Values(names))
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Equal(names, s.members) {
		return
	}
	s.members, s.groups = names, Groups(len(names), s.groups)
	clear(s.layouts)
}

// layout needs s.mu.
func (s *Spread) layout(groups int) *layout {
	l := s.layouts[groups]
	if l == nil {
		if len(s.layouts) >= maxLayouts {
			clear(s.layouts)
		}
		l = newLayout(s.cfg.Self, s.members, groups)
		s.layouts[groups] = l
	}
	return l
}

// Publish sends this node's newest frame on its way.
func (s *Spread) Publish() {
	d := state.Delta{Frames: s.cfg.Store.Frames([]string{s.cfg.Self}, maxBatch)}
	if len(d.Frames) == 0 {
		return
	}
	hashes := s.cfg.Store.Refers(s.cfg.Self)
	s.mu.Lock()
	if !slices.Equal(hashes, s.told) {
		d.Blobs = s.cfg.Store.BlobsFor(s.told, hashes, maxBatch)
		s.told = hashes
	}
	groups, l := s.groups, s.layout(s.groups)
	s.mu.Unlock()
	if len(l.own) > 0 {
		s.cfg.Cast(l.own, 0, d)
	}
	if relays := l.chosen(s.cfg.Reachable); len(relays) > 0 {
		s.cfg.Cast(relays, groups, d)
	}
}

// Receive takes in what peer has cast. With groups other than 0, peer's own
// frame is to be passed on; nobody can have another's frame passed on, so that
// each node causes the traffic of its own words and no more.
func (s *Spread) Receive(peer string, groups int, d state.Delta) state.Outcome {
	if !validGroups(groups) {
		return s.cfg.Store.Apply(d)
	}
	before := s.cfg.Store.Version(peer)
	out := s.cfg.Store.Apply(d)
	if !s.cfg.Store.Version(peer).Newer(before) {
		return out
	}
	r := relaying{}
	for _, b := range d.Blobs {
		r.blobs = append(r.blobs, frame.BlobHash(b))
		if head, err := frame.ParseBlob(b); err == nil && head.Base != (frame.Hash{}) {
			r.bases = append(r.bases, head.Base)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if groups > 2*s.groups || s.groups > 2*groups {
		groups = s.groups // views of the size differ by one step, not by more
	}
	if _, ok := slices.BinarySearch(s.members, peer); ok {
		r.groups = groups
	} else if s.cfg.Leaf != nil && s.cfg.Leaf(peer) {
		r.groups = 1 // one group: everybody
	} else {
		return out
	}
	if before := s.pending[peer]; len(before.blobs) < maxHeldBlobs { // two frames within one flush
		r.blobs, r.bases = append(r.blobs, before.blobs...), append(r.bases, before.bases...)
	}
	s.pending[peer] = r
	return out
}

// Neighbours lists whom this node casts to: the others of its group and its
// relays.
func (s *Spread) Neighbours() []string {
	s.mu.Lock()
	l := s.layout(s.groups)
	s.mu.Unlock()
	return slices.Concat(l.own, l.chosen(s.cfg.Reachable))
}

// Flush passes on what has gathered. Call it about once a second.
func (s *Spread) Flush() {
	s.mu.Lock()
	pending := s.pending
	s.pending = map[string]relaying{}
	s.mu.Unlock()
	byGroups := map[int][]string{}
	var hashes, held []frame.Hash
	for name, r := range pending {
		byGroups[r.groups] = append(byGroups[r.groups], name)
		hashes, held = append(hashes, r.blobs...), append(held, r.bases...)
	}
	for groups, names := range byGroups {
		slices.Sort(names)
		s.mu.Lock()
		to := s.layout(groups).own
		s.mu.Unlock()
		if len(to) > 0 {
			s.cfg.Cast(to, 0, state.Delta{Frames: s.cfg.Store.Frames(names, maxBatch), Blobs: s.cfg.Store.BlobsFor(held, hashes, maxBatch)})
		}
	}
}
