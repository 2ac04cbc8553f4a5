package collectors

import (
	"slices"
	"time"
)

// maxCounts bounds what a rising remembers; with very short intervals its
// window is shorter.
const maxCounts = 200

// rising tells by how much a counter has grown lately.
type rising struct {
	seen []countedAt // oldest first
}

// countedAt is a counter's value at one time.
type countedAt struct {
	at    time.Time
	value float64
}

// add remembers the value and returns its growth within the window, or since
// the first one. A counter that was reset begins anew.
func (r *rising) add(now time.Time, value float64, window time.Duration) float64 {
	if n := len(r.seen); n > 0 && value < r.seen[n-1].value {
		r.seen = r.seen[:0]
	}
	r.seen = append(r.seen, countedAt{now, value})
	for len(r.seen) > 1 && (now.Sub(r.seen[1].at) >= window || len(r.seen) > maxCounts) {
		r.seen = slices.Delete(r.seen, 0, 1)
	}
	return value - r.seen[0].value
}
