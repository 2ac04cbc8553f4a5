package state

import (
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// Have says which version of a node's word somebody holds.
type Have struct {
	Name    string
	Version frame.Version
	Young   bool // has just arrived there, and is probably on its way to everybody
}

// Digest lists what this node holds. Forgotten names are among it, so that
// peers do not send them again.
func (s *Store) Digest() []Have {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.sorted()
	have := make([]Have, 0, len(r.nodes)+len(s.tombstones))
	for i, n := range r.nodes {
		if !s.stripped(n) {
			have = append(have, Have{r.names[i], n.frame.Version, s.young(n, now)})
		}
	}
	for name, t := range s.tombstones {
		have = append(have, Have{Name: name, Version: t.version})
	}
	return have
}

func (s *Store) young(n *node, now time.Time) bool { return now.Sub(n.arrived) < s.cfg.Settle }

// next reports whether v is the very next word after w: whoever has w will
// probably have v in a moment, without being sent it.
func next(v, w frame.Version) bool { return v.Epoch == w.Epoch && v.Number == w.Number+1 }

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
		if s.Lacks(h) && s.cfg.Trust.Member(h.Name) {
			wants = append(wants, h.Name)
		}
	}
	now := s.cfg.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for name, n := range s.nodes {
		if n.frame.Bare {
			continue
		}
		version, ok := known[name]
		if ok && (!n.frame.Version.Newer(version) || s.young(n, now) && next(n.frame.Version, version)) {
			continue
		}
		if budget -= len(n.frame.Raw); budget < 0 {
			break
		}
		news = append(news, Relayed{Raw: n.frame.Raw, Age: now.Sub(n.made)})
	}
	return news, wants, refusal
}

// Lacks reports whether h is to be asked for.
func (s *Store) Lacks(h Have) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.bare {
		return false // it asks for verdicts, in another way
	}
	if n := s.nodes[h.Name]; n != nil && h.Young && next(h.Version, n.frame.Version) {
		return false
	}
	return s.newer(h.Name, h.Version)
}

// Frames returns the frames of names that are held, at most budget bytes.
func (s *Store) Frames(names []string, budget int) []Relayed {
	now := s.cfg.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Relayed
	for _, name := range names {
		n := s.nodes[name]
		if n == nil || n.frame.Bare {
			continue
		}
		if budget -= len(n.frame.Raw); budget < 0 {
			break
		}
		out = append(out, Relayed{Raw: n.frame.Raw, Age: now.Sub(n.made)})
	}
	return out
}

// Version returns that of the frame held of name; zero if there is none.
func (s *Store) Version(name string) frame.Version {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n := s.nodes[name]; n != nil {
		return n.frame.Version
	}
	return frame.Version{}
}

// Refers returns the hashes that the frame held of name refers to.
func (s *Store) Refers(name string) []frame.Hash {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.nodes[name]
	if n == nil {
		return nil
	}
	return []frame.Hash{n.frame.Schema, n.frame.Identity}
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
	return s.BlobsFor(nil, hashes, budget)
}

// BlobsFor returns those of hashes that are held here, at most budget bytes,
// for somebody who holds those of held: these are left out, and what is a
// change of one of them goes as the change alone.
func (s *Store) BlobsFor(held, hashes []frame.Hash, budget int) [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out [][]byte
	for _, h := range hashes {
		b := s.blobs[h]
		if b == nil || slices.Contains(held, h) {
			continue
		}
		raw := b.raw
		if b.patch != nil && slices.Contains(held, b.base) {
			raw = b.patch
		}
		if budget -= len(raw); budget < 0 {
			break
		}
		out = append(out, raw)
	}
	return out
}
