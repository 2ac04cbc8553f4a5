package state

import (
	"crypto/ed25519"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

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

// Renew makes this node sign its next frames with another key, under another
// identity.
func (s *Store) Renew(identity []byte, key ed25519.PrivateKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Identity, s.cfg.Key, s.self = identity, key, frame.IdentityHash(identity)
}
