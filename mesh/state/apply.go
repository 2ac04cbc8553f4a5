package state

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// Relayed is a frame on its way, with its age at whoever hands it on.
type Relayed struct {
	Raw []byte
	Age time.Duration
}

// Delta is news from a peer: frames, and the schemas and identities they
// refer to that the receiver does not hold yet.
type Delta struct {
	Frames []Relayed
	Blobs  [][]byte
}

// Refusal says why a frame or a peer was refused. Reason is one of a fixed
// set of words, for counting. Hostile means that no honest peer sends such a
// thing, so that the connection is to be cut.
type Refusal struct {
	Reason  string
	Hostile bool
	Err     error
}

// Error says the reason and the particulars.
func (r *Refusal) Error() string { return r.Reason + ": " + r.Err.Error() }

// Unwrap gives the particulars.
func (r *Refusal) Unwrap() error { return r.Err }

// The reasons for which frames are refused.
const (
	ReasonGarbage   = "garbage"    // cannot be read, or breaks a rule of form
	ReasonTooMuch   = "too_much"   // more nodes than are held
	ReasonNotMember = "not_member" // of a name that the gossip does not know
	ReasonIdentity  = "identity"   // identity that may not speak for the name
	ReasonSignature = "signature"  // not signed by the identity it names
	ReasonMissing   = "missing"    // refers to a schema that did not come along
	ReasonOwnName   = "own_name"   // somebody else speaks for this node
	ReasonTooOld    = "too_old"    // older than nodes are remembered

	// Of certificates, beside ReasonIdentity:
	ReasonAuthority   = "authority"     // signed by nobody we know
	ReasonExpired     = "expired"       // it has ended
	ReasonNotYetValid = "not_yet_valid" // it has not begun
)

// RefusalFor is err if it is a refusal itself, else a refusal for reason.
func RefusalFor(reason string, err error) *Refusal {
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		return refusal
	}
	return &Refusal{Reason: reason, Err: err}
}

// Outcome counts what became of a delta.
type Outcome struct {
	Applied int
	Old     int // not newer than what is held: the normal duplicate
	Refused []*Refusal
}

// maxDistrusted bounds the identities of one delta that are judged in vain: each
// costs the verification of a certificate, and who relays it may be honest.
const maxDistrusted = 64

// distrust reports whether it took judging an identity to refuse.
func (r *Refusal) distrust() bool {
	switch r.Reason {
	case ReasonIdentity, ReasonAuthority, ReasonExpired, ReasonNotYetValid:
		return true
	}
	return false
}

// Apply takes in what is newer and rightful. It stops at the first hostile
// frame, and what came before it stays: that was signed by its own node.
func (s *Store) Apply(d Delta) Outcome {
	blobs := make(map[frame.Hash][]byte, len(d.Blobs))
	for _, raw := range d.Blobs {
		blobs[frame.BlobHash(raw)] = raw
	}
	var out Outcome
	distrusted := 0
	for _, r := range d.Frames {
		applied, refusal := s.apply(r, blobs)
		switch {
		case refusal != nil:
			out.Refused = append(out.Refused, refusal)
			if refusal.distrust() {
				distrusted++
			}
			if refusal.Hostile || distrusted >= maxDistrusted {
				return out
			}
		case applied:
			out.Applied++
		default:
			out.Old++
		}
	}
	return out
}

func (s *Store) apply(r Relayed, blobs map[frame.Hash][]byte) (bool, *Refusal) {
	f, err := s.cfg.Reader.Head(r.Raw)
	if err != nil {
		return false, &Refusal{ReasonGarbage, true, err}
	}
	if f.Node == s.cfg.Self {
		return false, s.hearOwnName(f.Version)
	}
	if !s.wanted(f) {
		return false, nil
	}
	if !s.cfg.Trust.Member(f.Node) {
		return false, &Refusal{ReasonNotMember, false, fmt.Errorf("a frame of %s, who is not in the gossip", f.Node)}
	}
	if r.Age < 0 || r.Age > s.cfg.ForgetAfter {
		return false, &Refusal{ReasonTooOld, false, fmt.Errorf("a frame of %s that is %v old", f.Node, r.Age)}
	}
	identity, refusal := s.identityOf(f, blobs)
	if refusal != nil {
		return false, refusal
	}
	key, err := s.cfg.Trust.Key(f.Node, identity.raw)
	if err != nil {
		return false, RefusalFor(ReasonIdentity, err)
	}
	verified, err := s.cfg.Reader.Verify(f, key)
	if err != nil {
		return false, &Refusal{ReasonSignature, true, fmt.Errorf("a frame of %s: %w", f.Node, err)}
	}
	f = verified
	// Reading a schema is dear: it is not done for who has not signed for it.
	schema, refusal := s.schemaOf(f, blobs)
	if refusal != nil {
		return false, refusal
	}
	now, origin := s.cfg.Now(), s.originOf(f)
	made := origin.note(f, now.Add(-r.Age), now)
	snapshot, err := s.cfg.Reader.Snapshot(f, schema.schema, made)
	if err != nil {
		return false, &Refusal{ReasonGarbage, true, err}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	// Another connection may have brought a newer one meanwhile.
	if f.Bare && !s.bare || !s.newer(f.Node, f.Version) {
		return false, nil
	}
	if s.nodes[f.Node] == nil && len(s.nodes) >= s.cfg.Nodes {
		return false, &Refusal{ReasonTooMuch, false, fmt.Errorf("%s would be node number %d", f.Node, len(s.nodes)+1)}
	}
	if held := s.blobs[f.Schema]; held != nil {
		schema = held
	}
	if s.bare {
		f, snapshot = s.bareOf(f), schema.verdictsOnly(snapshot)
	} else {
		snapshot.Schema = schema.schema.Series
	}
	s.set(f, snapshot, made, schema, identity)
	s.nodes[f.Node].origin = origin
	delete(s.tombstones, f.Node)
	return true, nil
}

// identityOf finds the identity that f refers to, here or among the blobs that
// came with it.
func (s *Store) identityOf(f *frame.Frame, blobs map[frame.Hash][]byte) (*blob, *Refusal) {
	s.mu.RLock()
	held := s.blobs[f.Identity]
	s.mu.RUnlock()
	if held == nil && blobs[f.Identity] != nil {
		held = &blob{raw: bytes.Clone(blobs[f.Identity])}
	}
	switch {
	case held == nil:
		return nil, &Refusal{ReasonMissing, false, fmt.Errorf("a frame of %s without its identity", f.Node)}
	case held.schema != nil:
		return nil, &Refusal{ReasonGarbage, true, fmt.Errorf("a frame of %s that takes a schema for an identity", f.Node)}
	}
	return held, nil
}

// schemaOf finds the schema that f refers to, here or among the blobs that
// came with it, perhaps as a change of one that is held.
func (s *Store) schemaOf(f *frame.Frame, blobs map[frame.Hash][]byte) (*blob, *Refusal) {
	missing := &Refusal{ReasonMissing, false, fmt.Errorf("a frame of %s without its schema", f.Node)}
	raw := blobs[f.Schema]
	head, err := frame.ParseBlob(raw)
	s.mu.RLock()
	held, base := s.blobs[f.Schema], s.blobs[head.Base]
	s.mu.RUnlock()
	switch {
	case held != nil && held.schema == nil:
		return nil, &Refusal{ReasonGarbage, true, fmt.Errorf("a frame of %s that takes an identity for a schema", f.Node)}
	case held != nil:
		return held, nil
	case err != nil:
		return nil, missing
	}
	fresh := &blob{}
	var from *frame.Schema
	if head.Base != (frame.Hash{}) {
		if base == nil || base.schema == nil {
			return nil, missing
		}
		from, fresh.base, fresh.patch = base.schema, head.Base, bytes.Clone(raw)
	}
	if fresh.schema, err = frame.ParseSchema(bytes.Clone(raw), from, s.cfg.Limits); err != nil {
		return nil, &Refusal{ReasonGarbage, true, fmt.Errorf("schema of %s: %w", f.Node, err)}
	}
	fresh.raw = fresh.schema.Raw
	return fresh, nil
}

func (s *Store) wanted(f *frame.Frame) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return (!f.Bare || s.bare) && s.newer(f.Node, f.Version)
}

// newer reports whether v is news of name: a newer version, or the same one
// with values that are not held any more.
func (s *Store) newer(name string, v frame.Version) bool {
	if n := s.nodes[name]; n != nil {
		return v.Newer(n.frame.Version) || s.stripped(n) && v == n.frame.Version
	}
	if t, ok := s.tombstones[name]; ok {
		return v.Newer(t.version)
	}
	return true
}

// maxEpochJump bounds how far a peer's word can push our epoch, so that a
// liar cannot push it to the end. An honest word differs by our restarts.
const maxEpochJump = 1 << 20

// hearOwnName handles a version of this node's own name that somebody else
// holds. If it is not older than what we say now, an earlier life of ours
// said it (the disk was lost) or another node has taken our name: what we say
// next must come after it.
func (s *Store) hearOwnName(heard frame.Version) *Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !heard.Newer(frame.Version{Epoch: s.epoch, Number: s.number}) {
		return nil
	}
	if heard.Epoch-s.epoch > maxEpochJump {
		return &Refusal{ReasonOwnName, true, fmt.Errorf("somebody holds epoch %d of this node, which is at %d", heard.Epoch, s.epoch)}
	}
	before := s.epoch
	s.started = true
	s.startEpoch(heard.Epoch + 1)
	return &Refusal{ReasonOwnName, false,
		fmt.Errorf("somebody holds epoch %d of this node, which was at %d: now at %d", heard.Epoch, before, s.epoch)}
}
