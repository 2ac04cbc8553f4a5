package state

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// Reader makes of a frame's bytes what a Store holds. Config takes one so that
// thousands of stores in one process can share that work.
type Reader interface {
	// Head reads the head of a frame.
	Head(raw []byte) (*frame.Frame, error)
	// Open checks that f is signed with key, and decodes it. made is when f
	// was made. The frame that it returns does not hold on to the message that
	// f came in.
	Open(f *frame.Frame, key ed25519.PublicKey, schema *frame.Schema, made time.Time) (*frame.Frame, *health.Snapshot, *Refusal)
}

// verifier is the Reader that takes nobody's word.
type verifier struct {
	cluster string
	limits  frame.Limits
}

// Head implements Reader.
func (v verifier) Head(raw []byte) (*frame.Frame, error) { return frame.Parse(raw, v.limits) }

// Open implements Reader.
func (v verifier) Open(f *frame.Frame, key ed25519.PublicKey, schema *frame.Schema, made time.Time) (*frame.Frame, *health.Snapshot, *Refusal) {
	if err := f.Verify(v.cluster, key); err != nil {
		return nil, nil, &Refusal{ReasonSignature, true, fmt.Errorf("a frame of %s: %w", f.Node, err)}
	}
	f, err := frame.Parse(bytes.Clone(f.Raw), v.limits)
	if err != nil {
		return nil, nil, &Refusal{ReasonGarbage, true, err}
	}
	snapshot, err := f.Snapshot(schema, v.limits, made)
	if err != nil {
		return nil, nil, &Refusal{ReasonGarbage, true, err}
	}
	return f, snapshot, nil
}
