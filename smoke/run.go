package smoke

import (
	"context"
	"time"
)

// Options are what differs from run to run.
type Options struct {
	// Turn chooses the nodes: see TurnAt.
	Turn uint64
	// Nodes are the only ones to choose from; empty: all.
	Nodes []string
	// Told is called when a step has its verdict, and again when that gets
	// worse. Nil: nobody is told.
	Told func(Step)
}

// TurnAt is the turn of the run that is due at a time. It does not depend on
// who makes it, so that whoever takes over goes on with the next nodes.
func TurnAt(at time.Time, interval time.Duration) uint64 {
	return uint64(max(0, at.UnixNano()) / max(1, int64(interval)))
}

// Run makes one run and clears up after it, also when ctx ends before its
// time. What cannot be done is in the report.
func Run(ctx context.Context, c *Client, s Settings, o Options) Report {
	r := newRun(c, s, o)
	return r.do(ctx)
}
