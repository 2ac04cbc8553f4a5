package main

import (
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// figures counts what happens between from and to.
type figures struct {
	Case
	from, to time.Duration
	living   []int // nodes

	sent, received        int64 // bytes
	messages              int64 // sent
	frames, frameBytes    int64 // published
	applied, superfluous  int64 // frames received
	staleness             [staleBins]int64
	samples, late, behind int64
	stalest               time.Duration
	first                 []uint64          // number of each node's first frame
	times                 [][]time.Duration // when each node published which frame
	held                  []uint16          // which frame each node holds of each
}

// staleBins are of a millisecond each; the last holds all that is worse.
const staleBins = 120_000

// recordBytes is what TLS 1.3 adds to a record: header, type and tag; and
// recordPayload how much goes into one.
const (
	recordBytes   = 22
	recordPayload = 16 << 10
)

func newFigures(c *cluster) *figures {
	n := c.Nodes
	return &figures{Case: c.Case, first: make([]uint64, n), times: make([][]time.Duration, n), held: make([]uint16, n*n)}
}

func (f *figures) measuring(now time.Duration) bool { return now >= f.from && now < f.to }

func onWire(message []byte) int64 {
	return int64(len(message) + recordBytes*((len(message)+recordPayload-1)/recordPayload))
}

func (f *figures) out(now time.Duration, message []byte) {
	if f.measuring(now) {
		f.sent += onWire(message)
		f.messages++
	}
}

func (f *figures) in(now time.Duration, message []byte) {
	if f.measuring(now) {
		f.received += onWire(message)
	}
}

func (f *figures) took(now time.Duration, applied, old int) {
	if f.measuring(now) {
		f.applied += int64(applied)
		f.superfluous += int64(old)
	}
}

// published notes a frame of node id.
func (f *figures) published(id int, now time.Duration, version frame.Version, size int) {
	if len(f.times[id]) == 0 {
		f.first[id] = version.Number
	}
	f.times[id] = append(f.times[id], now)
	f.held[id*f.Nodes+id] = uint16(len(f.times[id]) - 1)
	if f.measuring(now) {
		f.frames++
		f.frameBytes += int64(size)
	}
}

// arrived notes that node id holds this version of origin now.
func (f *figures) arrived(id, origin int, now time.Duration, version frame.Version) {
	held := &f.held[id*f.Nodes+origin]
	f.stale(origin, int(*held)+1, int(version.Number-f.first[origin]), now)
	*held = uint16(version.Number - f.first[origin])
}

// stale takes in that a node knows the frames from first to last of origin
// since now.
func (f *figures) stale(origin, first, last int, now time.Duration) (missed int64) {
	for _, made := range f.times[origin][first : last+1] {
		if !f.measuring(made) {
			continue
		}
		age := now - made
		f.staleness[min(age.Milliseconds(), staleBins-1)]++
		f.samples++
		f.stalest = max(f.stalest, age)
		missed++
	}
	return missed
}

// finish counts what has not arrived as if it did at now.
func (f *figures) finish(now time.Duration) {
	for _, id := range f.living {
		for _, origin := range f.living {
			held, newest := int(f.held[id*f.Nodes+origin]), len(f.times[origin])-1
			f.late += f.stale(origin, held+1, newest, now)
			if newest-held > 2 {
				f.behind++
			}
		}
	}
}

// percentile is the staleness, in seconds, that a share of the frames keeps to.
func (f *figures) percentile(share float64) float64 {
	left := int64(share * float64(f.samples))
	for i, n := range f.staleness {
		if left -= n; left <= 0 && n > 0 {
			return float64(i+1) / 1000
		}
	}
	return 0
}

// String returns key=value pairs.
func (f *figures) String() string {
	bound := f.lowerBound()
	return fmt.Sprintf("nodes=%d loss=%g dead=%g out_bytes_per_s=%.0f in_bytes_per_s=%.0f lower_bound_bytes_per_s=%.0f ratio=%.3f copies=%.3f "+
		"staleness_p50_s=%.3f staleness_p99_s=%.3f staleness_max_s=%.3f",
		f.Nodes, f.Loss, f.Dead, f.perSecond(f.sent), f.perSecond(f.received), bound, f.perSecond(f.sent)/bound,
		float64(f.applied+f.superfluous)/float64(max(1, f.applied)), f.percentile(0.5), f.percentile(0.99), f.stalest.Seconds())
}

// particulars are key=value pairs beyond what is asked of every case.
func (f *figures) particulars() string {
	return fmt.Sprintf("behind=%d late=%d frame_bytes=%.0f messages_per_s=%.1f repair_s=%g",
		f.behind, f.late, f.frameSize(), f.perSecond(f.messages), f.Repair.Seconds())
}

// perSecond is a node's share of a total, each second.
func (f *figures) perSecond(total int64) float64 {
	return float64(total) / float64(len(f.living)) / (f.to - f.from).Seconds()
}

// frameSize is that of the frames published, on average.
func (f *figures) frameSize() float64 { return float64(f.frameBytes) / float64(max(1, f.frames)) }

// lowerBound is what a node has to receive at least, in bytes a second: every
// frame of every other living node once.
func (f *figures) lowerBound() float64 {
	return float64(len(f.living)-1) * f.frameSize() / f.Interval.Seconds()
}
