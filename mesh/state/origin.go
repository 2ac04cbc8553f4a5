package state

import (
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// origin is when a node started, on our clock, as its frames tell it: when one
// was made less how long the node had been up. The age a frame comes with does
// not know how long the frame lay in the buffers of a connection that hung, so
// it can only make the node start too late; the earliest of late is the truth.
//
// Clocks drift, and a machine that was paused starts later: so the earliest is
// that of the last frames only.
type origin struct {
	earliest, before time.Time // of this window and of the one before; zero: none
	since            time.Time // begin of this window
}

// originWindow is how long a window lasts at least. A burst of frames that were
// held up together falls into one window, and the one before it stays in force.
const originWindow = 30 * time.Second

// note takes in a frame and returns when it was made.
func (o *origin) note(f *frame.Frame, made, now time.Time) time.Time {
	at := made.Add(-f.Uptime)
	switch {
	case now.Sub(o.since) > originWindow:
		o.before, o.earliest, o.since = o.earliest, at, now
	case at.Before(o.earliest):
		o.earliest = at
	}
	start := o.earliest
	if !o.before.IsZero() && o.before.Before(start) {
		start = o.before
	}
	return start.Add(f.Uptime)
}

// originOf is what frames of f's node, in the same life, have told before.
func (s *Store) originOf(f *frame.Frame) origin {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n := s.nodes[f.Node]; n != nil && n.frame.Identity == f.Identity && f.Uptime > n.frame.Uptime {
		return n.origin
	}
	return origin{}
}
