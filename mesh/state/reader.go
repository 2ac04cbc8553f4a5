package state

import (
	"bytes"
	"crypto/ed25519"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// Reader makes of a frame's bytes what a Store holds. Config takes one so that
// thousands of stores in one process can share that work.
type Reader interface {
	// Head reads the head of a frame.
	Head(raw []byte) (*frame.Frame, error)
	// Verify checks that f is signed with key, and returns it such that it
	// does not hold on to the message it came in.
	Verify(f *frame.Frame, key ed25519.PublicKey) (*frame.Frame, error)
	// Snapshot decodes f, which was made at made.
	Snapshot(f *frame.Frame, schema *frame.Schema, made time.Time) (*health.Snapshot, error)
}

// ownReader is the Reader that takes nobody's word.
type ownReader struct {
	cluster string
	limits  frame.Limits
}

// Head implements Reader.
func (o ownReader) Head(raw []byte) (*frame.Frame, error) { return frame.Parse(raw, o.limits) }

// Verify implements Reader.
func (o ownReader) Verify(f *frame.Frame, key ed25519.PublicKey) (*frame.Frame, error) {
	if err := f.Verify(o.cluster, key); err != nil {
		return nil, err
	}
	return frame.Parse(bytes.Clone(f.Raw), o.limits)
}

// Snapshot implements Reader.
func (o ownReader) Snapshot(f *frame.Frame, schema *frame.Schema, made time.Time) (*health.Snapshot, error) {
	return f.Snapshot(schema, o.limits, made)
}
