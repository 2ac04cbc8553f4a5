package state

import (
	"cmp"
	"slices"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// Have says which version of a node's word somebody holds.
type Have struct {
	Name    string
	Version frame.Version
}

// Digest lists what this node holds, sorted by name. Forgotten names are
// among it, so that peers do not send them again.
func (s *Store) Digest() []Have {
	s.mu.RLock()
	have := make([]Have, 0, len(s.nodes)+len(s.tombstones))
	for name, n := range s.nodes {
		have = append(have, Have{name, n.frame.Version})
	}
	for name, t := range s.tombstones {
		have = append(have, Have{name, t.version})
	}
	s.mu.RUnlock()
	slices.SortFunc(have, func(a, b Have) int { return cmp.Compare(a.Name, b.Name) })
	return have
}

// Diff compares a peer's digest with what is held here: frames that the peer
// lacks, at most budget bytes of them, and names that the peer knows better.
// The refusal is nil unless the peer knows more of this node than is true.
func (s *Store) Diff(theirs []Have, budget int) (news []Relayed, wants []string, refusal *Refusal) {
	known := make(map[string]frame.Version, len(theirs))
	for _, h := range theirs {
		known[h.Name] = h.Version
		if h.Name == s.cfg.Self {
			refusal = s.hearOwnName(h.Version)
			continue
		}
		if s.wanted(h.Name, h.Version) && s.cfg.Trust.Member(h.Name) {
			wants = append(wants, h.Name)
		}
	}
	now := s.cfg.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, n := range s.nodes {
		version, ok := known[name]
		if ok && !n.frame.Version.Newer(version) {
			continue
		}
		if budget -= len(n.frame.Raw); budget < 0 {
			break
		}
		news = append(news, Relayed{Raw: n.frame.Raw, Age: now.Sub(n.made)})
	}
	return news, wants, refusal
}

// Frames returns the frames of names that are held, at most budget bytes.
func (s *Store) Frames(names []string, budget int) []Relayed {
	now := s.cfg.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Relayed
	for _, name := range names {
		n := s.nodes[name]
		if n == nil {
			continue
		}
		if budget -= len(n.frame.Raw); budget < 0 {
			break
		}
		out = append(out, Relayed{Raw: n.frame.Raw, Age: now.Sub(n.made)})
	}
	return out
}

// References lists the hashes that frames refer to, each once.
func References(frames []Relayed, limits frame.Limits) ([]frame.Hash, error) {
	seen := map[frame.Hash]bool{}
	var hashes []frame.Hash
	for _, r := range frames {
		f, err := frame.Parse(r.Raw, limits)
		if err != nil {
			return nil, &Refusal{ReasonGarbage, true, err}
		}
		for _, h := range []frame.Hash{f.Schema, f.Identity} {
			if !seen[h] {
				seen[h] = true
				hashes = append(hashes, h)
			}
		}
	}
	return hashes, nil
}

// Missing returns those of hashes that are not held.
func (s *Store) Missing(hashes []frame.Hash) []frame.Hash {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(hashes), func(h frame.Hash) bool { return s.blobs[h] != nil })
}

// Blobs returns the schemas and identities of hashes that are held, at most
// budget bytes.
func (s *Store) Blobs(hashes []frame.Hash, budget int) [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out [][]byte
	for _, h := range hashes {
		b := s.blobs[h]
		if b == nil {
			continue
		}
		if budget -= len(b.raw); budget < 0 {
			break
		}
		out = append(out, b.raw)
	}
	return out
}
