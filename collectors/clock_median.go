package collectors

import (
	"slices"
	"time"
)

// medianClock is the median of the peers' clocks, with the bound that follows
// from theirs. Any number of liars below half of them moves it no further
// than the honest ones lie apart. Of an even number of clocks there is no
// middle one: then this node's own is counted in, so that one of two peers
// that lies cannot blame it.
func medianClock(told []*clockAnswer) clockAnswer {
	var low, middle, high []time.Duration
	for _, a := range told {
		low, middle, high = append(low, a.offset-a.bound), append(middle, a.offset), append(high, a.offset+a.bound)
	}
	if len(told)%2 == 0 {
		low, middle, high = append(low, 0), append(middle, 0), append(high, 0)
	}
	for _, s := range [][]time.Duration{low, middle, high} {
		slices.Sort(s)
	}
	at := len(middle) / 2
	// Each true offset lies between its bounds, so their median lies between
	// the medians of the bounds.
	return clockAnswer{offset: middle[at], bound: max(high[at]-middle[at], middle[at]-low[at])}
}

// certain is how far apart the clocks are at least, in seconds.
func (a clockAnswer) certain() float64 {
	return max(0, a.offset.Abs()-a.bound).Seconds()
}

// apart words how far apart the clocks are: "4.2 s behind", seen from this
// node or from the other.
func (a clockAnswer) apart(fromHere bool) string {
	way := "behind"
	if a.offset < 0 == fromHere {
		way = "ahead of"
	}
	by := a.offset.Abs()
	words := seconds(by.Seconds())
	if by > time.Minute {
		words = by.Round(time.Second).String()
	}
	if a.bound > by/100 {
		words += " (give or take " + seconds(a.bound.Seconds()) + ")"
	}
	return words + " " + way
}
