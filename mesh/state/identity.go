package state

import (
	"crypto/ed25519"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// Renew makes this node sign its next frames with another key, under another
// identity.
func (s *Store) Renew(identity []byte, key ed25519.PrivateKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Identity, s.cfg.Key, s.self = identity, key, frame.IdentityHash(identity)
}
