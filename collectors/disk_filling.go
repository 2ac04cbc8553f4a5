package collectors

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// A file system's free space is remembered once a fillingStep, so long as the
// long window reaches back. Before fillingStart there is no telling.
const (
	fillingStep  = time.Minute
	fillingStart = 10 * time.Minute
	shortWindow  = 15 * time.Minute
	longWindow   = time.Hour
	// fillingReach bounds how far ahead is looked, in times of how far back:
	// a download of ten minutes says nothing of tomorrow.
	fillingReach = 4
)

// diskFilling tells from how a file system filled when it will be full.
type diskFilling struct {
	total float64
	seen  []freeSpace // oldest first
	// What add has found. Of the two windows that counts which sees the end
	// sooner, unless it is out of its reach.
	left float64       // seconds; +Inf: it does not fill
	over time.Duration // the time looked back for this; 0: too short to tell
}

// freeSpace is what ordinary users could still write at one time.
type freeSpace struct {
	at   time.Time
	left float64 // bytes
}

// add remembers what is left now. Of a file system that has changed its size
// the past tells nothing.
func (f *diskFilling) add(now time.Time, total, left float64) {
	if total != f.total {
		*f = diskFilling{total: total}
	}
	if n := len(f.seen); n > 0 && now.Sub(f.seen[n-1].at) < fillingStep {
		return
	}
	f.seen = append(newerSpace(f.seen, now.Add(-longWindow)), freeSpace{now, left})
	f.left, f.over = timeToFull(f.seen)
	recent, over := timeToFull(newerSpace(f.seen, now.Add(-shortWindow)))
	if recent < f.left && inReach(recent, over) {
		f.left, f.over = recent, over
	}
}

// newerSpace drops what is older.
func newerSpace(seen []freeSpace, oldest time.Time) []freeSpace {
	for len(seen) > 0 && seen[0].at.Before(oldest) {
		seen = seen[1:]
	}
	return seen
}

// timeToFull is in seconds from the last time, at the pace of all the time
// that was seen, which it returns too; 0 when that tells nothing.
func timeToFull(seen []freeSpace) (left float64, over time.Duration) {
	n := len(seen)
	if n < 6 || seen[n-1].at.Sub(seen[0].at) < fillingStart {
		return math.Inf(1), 0
	}
	// The pace from the first third to the second, or from there to the last,
	// whichever is slower, by medians: neither one large file nor logs that
	// grow and are cut make a disk one that fills.
	parts := seen[1-n%2:] // an odd number, so that the second third has one in its middle
	third := len(parts) / 3
	a, b, c := medianSpace(parts[:third]), medianSpace(parts[third:len(parts)-third]), medianSpace(parts[len(parts)-third:])
	pace := max((b.left-a.left)/b.at.Sub(a.at).Seconds(), (c.left-b.left)/c.at.Sub(b.at).Seconds())
	over = seen[n-1].at.Sub(seen[0].at)
	if pace >= 0 {
		return math.Inf(1), over
	}
	return seen[n-1].left / -pace, over
}

// medianSpace is of the space and of the time, each for itself.
func medianSpace(seen []freeSpace) freeSpace {
	left := make([]float64, len(seen))
	for i, s := range seen {
		left[i] = s.left
	}
	slices.Sort(left)
	low, high := (len(seen)-1)/2, len(seen)/2 // two of them in an even number
	return freeSpace{
		at:   seen[low].at.Add(seen[high].at.Sub(seen[low].at) / 2),
		left: (left[low] + left[high]) / 2,
	}
}

func inReach(left float64, over time.Duration) bool { return left <= fillingReach*over.Seconds() }

// judge holds the time to full against limits, which work from above. As in
// node_exporter's mixin (NodeFilesystemSpaceFillingUp), nothing is said while
// more than 40 % are left, and nothing critical above 20 %.
func (f *diskFilling) judge(limits DurationLimits, usage float64) (status health.Status, limit float64) {
	l := limits.seconds()
	switch {
	case f.over == 0 || f.left == 0 || !inReach(f.left, f.over): // what is full is told by its usage
		return health.OK, l.Warning
	case usage >= 0.8 && f.left <= l.Critical:
		return health.Critical, l.Critical
	case usage >= 0.6 && f.left <= l.Warning:
		return health.Warning, l.Warning
	}
	return health.OK, l.Warning
}

// longTime words a long time in seconds: "2.1 hours", "40 minutes".
func longTime(seconds float64) string {
	if seconds < 90*60 {
		return fmt.Sprintf("%.0f minutes", seconds/60)
	}
	return fmt.Sprintf("%.1f hours", seconds/3600)
}
