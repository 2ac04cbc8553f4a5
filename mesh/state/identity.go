package state

import "github.com/grapevine-mesh/grapevine/mesh/frame"

// Identity returns the identity that the newest frame of name refers to, and
// the version of that frame. It is nil when no frame of name is held.
func (s *Store) Identity(name string) ([]byte, frame.Version) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.nodes[name]
	if n == nil {
		return nil, frame.Version{}
	}
	return s.blobs[n.frame.Identity].raw, n.frame.Version
}
