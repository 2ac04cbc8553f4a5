package collectors

import (
	"context"
	"math"
	"net/netip"
	"time"

	"github.com/grapevine-mesh/grapevine/internal/echo"
)

const (
	// mtuTries is how often a packet is sent before it counts as too large:
	// what is lost by chance must not look like a black hole.
	mtuTries = 3
	// mtuSteps bounds a search: half of 65535, of that the half, and so on,
	// and what the last run found.
	mtuSteps = 18
)

// mtuWay is the way to one peer over one network.
type mtuWay struct {
	peer     Peer
	network  string
	addr     netip.AddrPort
	before   mtuBounds
	prober   echo.Prober
	patience time.Duration

	// What look has found.
	err    error      // why nothing could be sent
	route  echo.Route // as the kernel has it
	path   int        // largest size in bytes that passed; 0: none
	lossy  bool       // too few small packets came through to tell
	hole   bool       // small ones pass, the largest does not
	back   bool       // it is the large answers that vanish
	bounds mtuBounds  // to be tried first in the next run
}

// mtuBounds are sizes in bytes between which the limit lies.
type mtuBounds struct{ passed, failed int }

// largest is the size of the largest packet that the kernel sends.
func (w *mtuWay) largest() int { return min(w.route.MTU, math.MaxUint16) }

// look finds the largest packet that passes. Mostly that is the first one.
func (w *mtuWay) look(ctx context.Context) {
	smalls := 0
	for {
		route, err := echo.RouteTo(ctx, w.addr)
		if err != nil {
			w.err = err
			return
		}
		if w.route.MTU != 0 && route.MTU >= w.route.MTU {
			break // tried, and no router has said meanwhile what it takes
		}
		w.route, smalls = route, 0
		for range mtuTries {
			if w.passes(ctx, w.largest(), true) {
				return
			}
			if w.err != nil {
				return
			}
			if w.passes(ctx, echo.Smallest(w.addr.Addr()), true) {
				smalls++
			}
		}
	}
	if smalls == 0 || ctx.Err() != nil {
		return
	}
	if w.lossy = smalls < mtuTries-1; w.lossy {
		return
	}
	w.back = w.passesOnce(ctx, w.largest(), false)
	w.search(ctx)
	// Once more the largest and the smallest: so much lost by chance is rare,
	// and a peer that has ended meanwhile answers neither.
	w.hole = !w.passesOnce(ctx, w.largest(), true) && w.err == nil &&
		w.passesOnce(ctx, echo.Smallest(w.addr.Addr()), true)
}

// search finds the largest size that passes between one that does and the
// largest, which does not.
func (w *mtuWay) search(ctx context.Context) {
	low, high := w.path, w.largest()
	next := func() int { return low + (high-low)/2 }
	for step := 0; step < mtuSteps && high-low > 1 && ctx.Err() == nil; step++ {
		size := next()
		switch { // where the last run found it, it probably still is
		case w.before.passed > low && w.before.passed < high:
			size = w.before.passed
		case w.before.failed > low && w.before.failed < high:
			size = w.before.failed
		}
		if w.passesOnce(ctx, size, true) {
			low = size
		} else if ctx.Err() == nil {
			high = size
		}
	}
	w.bounds = mtuBounds{passed: low, failed: high}
}

// passesOnce tries a size until it passes, some times at most.
func (w *mtuWay) passesOnce(ctx context.Context, size int, both bool) bool {
	for range mtuTries {
		if w.passes(ctx, size, both) {
			return true
		}
	}
	return false
}

// passes tells whether a packet of that size is answered, with both by one
// of that size. That the peer's own interface takes less is not the way's
// fault.
func (w *mtuWay) passes(ctx context.Context, size int, both bool) bool {
	if ctx.Err() != nil {
		return false
	}
	one, cancel := context.WithTimeout(ctx, w.patience)
	defer cancel()
	outcome, err := w.prober.Pass(one, w.addr, size, both)
	if ctx.Err() == nil {
		w.err = err
	}
	if err != nil || outcome != echo.Passed && outcome != echo.TooLargeBack {
		return false
	}
	if both {
		w.path = max(w.path, size)
	}
	return true
}
