package state

import "github.com/grapevine-mesh/grapevine/mesh/frame"

// Simulations begin where a cluster is after days. The two functions below
// bring a store there.

// Resume makes the next frame of this node the one after v.
func (s *Store) Resume(v frame.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch, s.number, s.started = v.Epoch, v.Number, true
}

// Adopt takes over all that other holds, but what it holds of this node. The
// stores share their schemas and identities, and are not to be used at the
// same time.
func (s *Store) Adopt(other *Store) {
	other.mu.Lock()
	defer other.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roster = nil
	for h, b := range other.blobs {
		if s.blobs[h] == nil {
			s.blobs[h] = b
		}
	}
	r := other.sorted()
	nodes := make([]node, 0, len(r.nodes)) // in the order in which digests are read
	for i, n := range r.nodes {
		name := r.names[i]
		if name == s.cfg.Self {
			continue
		}
		if old := s.nodes[name]; old != nil {
			s.release(old.frame)
		}
		s.blobs[n.frame.Schema].refs++
		s.blobs[n.frame.Identity].refs++
		nodes = append(nodes, *n)
		s.nodes[name] = &nodes[len(nodes)-1]
	}
}
