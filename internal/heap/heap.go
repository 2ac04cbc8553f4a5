// Package heap bounds the garbage that a program carries with it.
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// spare is about how much garbage may pile up, in bytes, before it is
// collected. By itself Go lets as much pile up as is in use, which is paid on
// every node. Less costs processor time: it doubles each time this is halved.
const spare = 6 << 20

// The percentages of what is in use that may pile up: with much in use the
// spare would be too little, with little in use Go's own measure does.
const (
	least = 30
	most  = 100
)

// Bound holds the garbage to a few megabytes, or to a third of what is in use,
// until end is called. It does nothing where GOGC is set.
func Bound() (end func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	b := &bound{percent: least, before: debug.SetGCPercent(least)} // a start leaves much behind
	(&canary{b}).watch()
	return b.end
}

type bound struct {
	before int

	mu      sync.Mutex // guards what follows
	percent int
	ended   bool
}

// canary is garbage from its start: that it is found tells that a collection
// is over. Asking by the clock would let a heap that has just grown double
// before it is known.
type canary struct{ *bound }

func (c *canary) watch() { runtime.SetFinalizer(c, (*canary).found) }

// found adapts to what the collection has left.
func (c *canary) found() {
	b := c.bound
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	// Setting it stops the world for a moment.
	if now := percentOf(inUse()); now < b.percent*9/10 || now > b.percent*11/10 {
		b.percent = now
		debug.SetGCPercent(now)
	}
	c.watch()
}

func (b *bound) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.ended = true
		debug.SetGCPercent(b.before)
	}
}

// inUse is what the last collection has left, in bytes.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func percentOf(inUse uint64) int {
	return int(max(least, min(most, 100*spare/max(1, inUse))))
}
