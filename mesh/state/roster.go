package state

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// roster is the held nodes in the order of their names. Two stores that hold
// the same epochs of the same nodes have the same sum, and can tell each other
// versions by place, without names.
type roster struct {
	names []string
	nodes []*node
	sum   uint64
}

// sorted returns the roster, made anew if nodes have come, gone or restarted.
// It needs s.mu.
func (s *Store) sorted() *roster {
	if s.roster != nil {
		return s.roster
	}
	r := &roster{names: make([]string, 0, len(s.nodes)), nodes: make([]*node, 0, len(s.nodes))}
	for name := range s.nodes {
		r.names = append(r.names, name)
	}
	slices.Sort(r.names)
	sum := xxhash.New()
	var b []byte
	for _, name := range r.names {
		n := s.nodes[name]
		r.nodes = append(r.nodes, n)
		b = append(append(b[:0], name...), 0)
		b = binary.BigEndian.AppendUint64(b, n.frame.Version.Epoch)
		_, _ = sum.Write(b) // a hash takes everything
	}
	r.sum = sum.Sum64()
	s.roster = r
	return r
}

// Places is a digest without names: the numbers of the frames held, in the
// order of a roster that both sides have. Names that have been forgotten are
// in neither's roster, so that nobody sends them.
type Places struct {
	Roster  uint64 // sum of the roster
	Numbers []byte // for each node a varint: number<<1, and 1 if it has just arrived
}

// Places returns what this node holds, in a form of some three bytes a node.
func (s *Store) Places() Places {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.sorted()
	p := Places{Roster: r.sum, Numbers: make([]byte, 0, 3*len(r.nodes))}
	for _, n := range r.nodes {
		if s.stripped(n) {
			p.Numbers = append(p.Numbers, 0)
			continue
		}
		p.Numbers = binary.AppendUvarint(p.Numbers, n.frame.Version.Number<<1|flag(s.young(n, now)))
	}
	return p
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// DiffPlaces is Diff with a digest by places. ok is false if the peer's roster
// is another one: then the peer has to say names.
func (s *Store) DiffPlaces(p Places, budget int) (news []Relayed, wants []string, refusal *Refusal, ok bool) {
	now := s.cfg.Now()
	s.mu.Lock()
	r := s.sorted()
	if r.sum != p.Roster {
		s.mu.Unlock()
		return nil, nil, nil, false
	}
	theirs := p.Numbers
	var ourselves *frame.Version // as the peer knows this node
	for i, n := range r.nodes {
		number, size := binary.Uvarint(theirs)
		if size <= 0 {
			s.mu.Unlock()
			return nil, nil, nil, false
		}
		theirs = theirs[size:]
		h := Have{Name: r.names[i], Version: n.frame.Version, Young: number&1 == 1}
		h.Version.Number = number >> 1
		if h.Name == s.cfg.Self {
			ourselves = &h.Version
		}
		switch {
		case n.frame.Bare:
			if s.stripped(n) && !n.frame.Version.Newer(h.Version) {
				wants = append(wants, h.Name)
			}
		case h.Version.Newer(n.frame.Version):
			underWay := h.Young && next(h.Version, n.frame.Version)
			if h.Name != s.cfg.Self && !underWay {
				wants = append(wants, h.Name)
			}
		case !n.frame.Version.Newer(h.Version), s.young(n, now) && next(n.frame.Version, h.Version):
		default:
			if budget -= len(n.frame.Raw); budget >= 0 {
				news = append(news, Relayed{Raw: n.frame.Raw, Age: now.Sub(n.made)})
			}
		}
	}
	s.mu.Unlock()
	if ourselves != nil {
		refusal = s.hearOwnName(*ourselves)
	}
	wants = slices.DeleteFunc(wants, func(name string) bool { return !s.cfg.Trust.Member(name) })
	return news, wants, refusal, len(theirs) == 0
}
