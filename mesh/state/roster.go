package state

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
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
// order of a roster that both sides have.
type Places struct {
	Roster  uint64 // sum of the roster
	Numbers []byte // for each node a varint: number<<1, and 1 if it has just arrived
	Gone    []Have // forgotten names, so that they are not sent again
}

// Places returns what this node holds, in a form of some three bytes a node.
func (s *Store) Places() Places {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.sorted()
	p := Places{Roster: r.sum, Numbers: make([]byte, 0, 3*len(r.nodes)), Gone: s.gone()}
	for _, n := range r.nodes {
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

// At reads p by this node's roster. It is false if the peer's is another one:
// then the peer has to say names.
func (s *Store) At(p Places) ([]Have, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.sorted()
	if r.sum != p.Roster {
		return nil, false
	}
	have := make([]Have, 0, len(r.nodes)+len(p.Gone))
	b := p.Numbers
	for i, n := range r.nodes {
		number, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, false
		}
		b = b[size:]
		h := Have{Name: r.names[i], Version: n.frame.Version, Young: number&1 == 1}
		h.Version.Number = number >> 1
		have = append(have, h)
	}
	return append(have, p.Gone...), len(b) == 0
}
