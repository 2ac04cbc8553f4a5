package echo

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

// signer signs packets and checks signatures. It is used by one goroutine at
// a time.
type signer struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

// newSigner derives a key for purpose, so that the key itself, which the
// gossip may use for other things, signs nothing here. Without a key the
// signature proves nothing, and is still a checksum.
func newSigner(key []byte, purpose string) *signer {
	derived, err := hkdf.Key(sha256.New, key, nil, "grapevine "+purpose, sha256.Size)
	if err != nil { // only a length that HKDF cannot give
		panic(err)
	}
	return &signer{mac: hmac.New(sha256.New, derived)}
}

// of returns the signature of message. It is good until the next call.
func (s *signer) of(message []byte) []byte {
	s.mac.Reset()
	s.mac.Write(message)
	return s.mac.Sum(s.sum[:0])[:signatureSize]
}

// sign writes the signature of packet into its last bytes.
func (s *signer) sign(packet []byte) {
	end := len(packet) - signatureSize
	copy(packet[end:], s.of(packet[:end]))
}

// signed tells whether packet ends with its signature.
func (s *signer) signed(packet []byte) bool {
	end := len(packet) - signatureSize
	return hmac.Equal(packet[end:], s.of(packet[:end]))
}

// Keys are the secrets that packets may be signed with: the first is used to
// ask, all are accepted. They may change; the slice is the same until they do.
// Nil, or no keys: nothing is secret.
type Keys func() [][]byte

func (k Keys) all() [][]byte {
	if k != nil {
		if keys := k(); len(keys) > 0 {
			return keys
		}
	}
	return noKeys
}

var noKeys = [][]byte{nil}

// ring signs and checks packets with whatever keys there are now. It is used
// by one goroutine at a time.
type ring struct {
	keys    Keys
	known   [][]byte // those of signers
	signers []*signer
}

// whose returns the signer whose signature packet ends with; nil: none's.
func (r *ring) whose(packet []byte) *signer {
	if keys := r.keys.all(); len(keys) != len(r.known) || &keys[0] != &r.known[0] {
		r.known, r.signers = keys, nil
		for _, key := range keys {
			r.signers = append(r.signers, newSigner(key, packets))
		}
	}
	for _, s := range r.signers {
		if s.signed(packet) {
			return s
		}
	}
	return nil
}
