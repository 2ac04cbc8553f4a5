package main

import (
	"bytes"
	"crypto/ed25519"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// reader verifies and decodes each frame once for all nodes: without it,
// 5000 nodes would check signatures for a day.
type reader struct {
	byName  map[string]*recent
	byBytes map[*byte]*read // by where a kept frame lies: relays pass it on as it is
}

// read is a frame that all stores share.
type read struct {
	frame    *frame.Frame
	snapshot *health.Snapshot // nil until somebody has verified and decoded it
}

// recent holds the latest frames of a node.
type recent struct {
	reads [8]*read
	next  int
}

func newReader() *reader { return &reader{map[string]*recent{}, map[*byte]*read{}} }

// Head implements state.Reader.
func (r *reader) Head(raw []byte) (*frame.Frame, error) {
	if known := r.byBytes[&raw[0]]; known != nil {
		return known.frame, nil
	}
	f, err := frame.Parse(raw, limits)
	if err != nil {
		return nil, err
	}
	of := r.byName[f.Node]
	if of == nil {
		of = &recent{}
		r.byName[f.Node] = of
	}
	for _, known := range of.reads {
		if known != nil && known.frame.Version == f.Version && bytes.Equal(known.frame.Raw, raw) {
			return known.frame, nil
		}
	}
	if f, err = frame.Parse(bytes.Clone(raw), limits); err != nil {
		return nil, err
	}
	if old := of.reads[of.next]; old != nil {
		delete(r.byBytes, &old.frame.Raw[0])
	}
	of.reads[of.next] = &read{frame: f}
	r.byBytes[&f.Raw[0]] = of.reads[of.next]
	of.next = (of.next + 1) % len(of.reads)
	return f, nil
}

// Verify implements state.Reader.
func (r *reader) Verify(f *frame.Frame, key ed25519.PublicKey) (*frame.Frame, error) {
	if known := r.byBytes[&f.Raw[0]]; known != nil && known.snapshot != nil {
		return f, nil
	}
	return f, f.Verify(clusterID, key)
}

// Snapshot implements state.Reader.
func (r *reader) Snapshot(f *frame.Frame, schema *frame.Schema, made time.Time) (*health.Snapshot, error) {
	known := r.byBytes[&f.Raw[0]]
	if known == nil {
		known = &read{frame: f} // it is older than those kept
	}
	if known.snapshot != nil {
		return known.snapshot, nil
	}
	var err error
	known.snapshot, err = f.Snapshot(schema, limits, made)
	return known.snapshot, err
}
