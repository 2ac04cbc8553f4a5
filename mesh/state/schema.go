package state

import (
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// schemaFor returns the schema of this node's last word if it serves, else a
// new one and how it differs from the last. Peers cut off who sends what
// breaks a rule: such a schema is an error here.
func (s *Store) schemaFor(snapshot *health.Snapshot, now time.Time) (*blob, error) {
	s.mu.RLock()
	var last *blob
	var said []health.Result
	if n := s.nodes[s.cfg.Self]; n != nil {
		last, said = s.blobs[n.frame.Schema], n.snapshot.Results
	}
	s.mu.RUnlock()
	if last != nil && last.schema.Fits(snapshot) && !last.wordy(snapshot.Results, said, now) {
		return last, nil
	}
	schema, err := frame.NewSchema(snapshot.Schema, snapshot.Results, s.cfg.Limits)
	if err != nil {
		return nil, fmt.Errorf("peers would refuse this node's %w", err)
	}
	b := &blob{raw: schema.Raw, schema: schema, made: now}
	if last != nil {
		b.base = last.schema.Hash
		if b.patch, err = schema.Patch(last.schema); err != nil {
			return nil, err
		}
	}
	return b, nil
}

const (
	// standingBytes is how much a frame may say again and again before that
	// moves to the schema, which is sent once.
	standingBytes = 32
	// standingPace keeps reasons that come and go from making schemas all the
	// time.
	standingPace = time.Minute
)

// wordy reports whether frames of this schema repeat more than is good: reasons
// that stand, and are not those that the schema says.
func (b *blob) wordy(results, said []health.Result, now time.Time) bool {
	if now.Sub(b.made) < standingPace || len(said) != len(results) {
		return false
	}
	repeated := 0
	for i, r := range results {
		if r.Reason == said[i].Reason && r.Reason != b.schema.Subjects[i].Reason {
			repeated += len(r.Reason)
		}
	}
	return repeated >= standingBytes
}
