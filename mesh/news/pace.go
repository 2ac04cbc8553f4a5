package news

import "time"

// How much urgent news there is. What is held back travels by frame as
// everything does: it is a second or two later, and nothing is lost.
const (
	ownPace  = 5 * time.Second // between two items of one node,
	ownBurst = 3               // after so many at once

	// crowdPace and crowdBurst bound what all nodes together tell: when an
	// API server is gone, every node sees it, and a thousand items would fill
	// the gossip for minutes. Each node counts what it hears, and is silent
	// when many have spoken.
	crowdPace  = 500 * time.Millisecond
	crowdBurst = 20

	// flapping is how long a subject that turned critical is no news again.
	flapping = time.Minute
)

// bucket is a token bucket. The zero value is full.
type bucket struct {
	spent float64
	last  time.Time
}

// level is what has been spent of a bucket that gets one token each pace.
func (b *bucket) level(now time.Time, pace time.Duration) float64 {
	return max(0, b.spent-float64(now.Sub(b.last))/float64(pace))
}

// take spends a token and reports whether there was one.
func (b *bucket) take(now time.Time, pace time.Duration, burst float64) bool {
	b.spent, b.last = b.level(now, pace), now
	if b.spent+1 > burst {
		return false
	}
	b.spent++
	return true
}

// Subject is what a verdict is about.
type Subject struct{ Check, Subject string }

// Pace says what news this node may tell. The zero value is ready. It is not
// safe for concurrent use.
type Pace struct {
	own, crowd bucket
	told       map[Subject]time.Time
}

// Allow reports whether news of subject may be told now, and counts it as told
// if so.
func (p *Pace) Allow(subject Subject, now time.Time) bool {
	for s, at := range p.told {
		if now.Sub(at) >= flapping {
			delete(p.told, s)
		}
	}
	if _, told := p.told[subject]; told {
		return false
	}
	if p.crowd.level(now, crowdPace)+1 > crowdBurst || !p.own.take(now, ownPace, ownBurst) {
		return false
	}
	p.crowd.take(now, crowdPace, crowdBurst)
	if p.told == nil {
		p.told = map[Subject]time.Time{}
	}
	p.told[subject] = now
	return true
}

// Heard counts news that another node has told.
func (p *Pace) Heard(now time.Time) { p.crowd.take(now, crowdPace, crowdBurst) }
