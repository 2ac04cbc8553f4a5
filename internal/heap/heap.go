// Package heap bounds the garbage that a program carries with it.
package heap

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
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
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { bound(ctx) })
	return func() {
		cancel()
		done.Wait()
	}
}

func bound(ctx context.Context) {
	percent := least // a start leaves much behind
	before := debug.SetGCPercent(percent)
	defer func() { debug.SetGCPercent(before) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Setting it stops the world for a moment.
			if now := percentOf(inUse()); now < percent*9/10 || now > percent*11/10 {
				percent = now
				debug.SetGCPercent(percent)
			}
		}
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
