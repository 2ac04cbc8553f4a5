package main

import (
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// recorder keeps what one node holds at first and all that comes to it, so
// that replay can do again what the node did, alone in the process and with
// nothing shared. All methods do nothing on nil.
type recorder struct {
	Case
	name    string
	names   []string
	keys    map[string][]byte
	version frame.Version
	held    state.Delta
	steps   []*step
}

// message is what comes from another node. Its bytes are sealed, in the end;
// its size is what it was before.
type message struct {
	bytes []byte
	size  int
}

// step is one thing that the node had to do: exactly one of the last four is
// set.
type step struct {
	at       time.Duration
	peer     string
	snapshot *health.Snapshot // to publish
	flush    bool
	message  message   // to take in or to answer
	sync     bool      // to ask peer
	answers  []message // that peer gave
}

func newRecorder(n *node) *recorder {
	r := &recorder{Case: n.Case, name: n.name, names: n.names, keys: map[string][]byte{}}
	r.held.Frames = n.store.Frames(n.names, 1<<30)
	for i, name := range n.names {
		r.keys[name] = n.keys[i]
		r.held.Blobs = append(r.held.Blobs, n.store.Blobs(n.store.Refers(name), 1<<20)...)
	}
	r.version, _ = n.store.Spoken()
	return r
}

func (r *recorder) add(s *step) *step {
	if r == nil {
		return &step{}
	}
	r.steps = append(r.steps, s)
	return s
}

func (r *recorder) said(now time.Duration, s health.Snapshot) { r.add(&step{at: now, snapshot: &s}) }
func (r *recorder) flushed(now time.Duration)                 { r.add(&step{at: now, flush: true}) }

func (r *recorder) heard(now time.Duration, peer string, wire []byte) {
	r.add(&step{at: now, peer: peer, message: message{wire, len(wire)}})
}

// asks returns the step that the answers belong to.
func (r *recorder) asks(now time.Duration, peer string) *step {
	return r.add(&step{at: now, peer: peer, sync: true})
}

func (s *step) add(answer []byte) { s.answers = append(s.answers, message{answer, len(answer)}) }
