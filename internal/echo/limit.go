package echo

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// How much a responder does at most: a source is one of k peers whose checks
// send some tens of requests each few seconds.
const (
	limitBuckets = 1024
	sourceRate   = 500 // requests a second
	sourceBurst  = 2 * MaxBurst

	// From floodPackets in a floodWindow on the responder sleeps for the rest
	// of the window, and the kernel drops what the socket cannot hold.
	floodWindow  = 10 * time.Millisecond
	floodPackets = 100
)

// limits bounds the requests of each source. Sources whose hashes meet share
// a bucket, so that the table never grows.
type limits struct {
	seed    maphash.Seed
	buckets [limitBuckets]bucket
}

type bucket struct {
	spent float32 // requests not yet forgiven
	last  time.Duration
}

// allow tells whether source may have one more answer.
func (l *limits) allow(source netip.Addr, now time.Duration) bool {
	key := source.As16()
	b := &l.buckets[maphash.Bytes(l.seed, key[:])%limitBuckets]
	b.spent = max(0, b.spent-float32((now-b.last).Seconds()*sourceRate))
	b.last = now
	if b.spent >= sourceBurst {
		return false
	}
	b.spent++
	return true
}

// flood notices when packets come faster than they are worth.
type flood struct {
	began   time.Duration
	packets int
}

// pause counts a packet and returns for how long to read no other.
func (f *flood) pause(now time.Duration) time.Duration {
	if now-f.began >= floodWindow {
		f.began, f.packets = now, 0
	}
	f.packets++
	if f.packets < floodPackets {
		return 0
	}
	return floodWindow - (now - f.began)
}
