package news

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// Bounds on what others can make a Board hold.
const (
	// originPace and originBurst are what a node may tell: twice what an
	// honest one does, because the gossip brings items late and together.
	originPace  = ownPace / 2
	originBurst = 2 * ownBurst
	// judgePace and judgeBurst bound the items whose signature is looked at:
	// more than the gossip can carry.
	judgePace  = 10 * time.Millisecond
	judgeBurst = 200
	// maxItems bounds the items of all nodes: a few megabytes.
	maxItems = 4096
)

// Board holds the news that no frame has confirmed or overtaken yet. It is
// safe for concurrent use.
type Board struct {
	mu      sync.Mutex // guards all below
	judging bucket
	origins map[string]*origin
	items   int
}

// origin is one node that has told news.
type origin struct {
	pace     bucket
	standing map[Subject]standing
}

// standing is an item and when it was made, by our clock.
type standing struct {
	item Item
	made time.Time
}

// NewBoard returns an empty Board.
func NewBoard() *Board { return &Board{origins: map[string]*origin{}} }

// What can become of an item.
const (
	Shown  = "shown"
	Repeat = "repeat" // it stands already, or a newer one of its subject does
	Flood  = "flood"  // more than a node may tell, or than is held
)

// Admit reports whether one more item may be judged now.
func (b *Board) Admit(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.judging.take(now, judgePace, judgeBurst)
}

// Post puts up an item that was made at made, by our clock. That the node has
// said so and that no frame held is as new is for the caller to see.
func (b *Board) Post(item Item, made, now time.Time) (outcome string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.origins[item.Node]
	if o == nil {
		if len(b.origins) >= maxItems {
			return Flood
		}
		o = &origin{standing: map[Subject]standing{}}
		b.origins[item.Node] = o
	}
	subject := Subject{item.Check, item.Subject}
	old, stands := o.standing[subject]
	switch {
	case stands && !item.Version.Newer(old.item.Version):
		return Repeat
	case !o.pace.take(now, originPace, originBurst):
		return Flood
	case !stands && b.items >= maxItems:
		return Flood
	case !stands:
		b.items++
	}
	o.standing[subject] = standing{item, made}
	return Shown
}

// Standing returns the verdicts that stand for node while the frame held of it
// is held, sorted by check and subject. What that frame says itself, or what is
// older than maxAge, is taken down.
func (b *Board) Standing(node string, held frame.Version, now time.Time, maxAge time.Duration) []health.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.origins[node]
	if o == nil {
		return nil
	}
	var results []health.Result
	for subject, s := range o.standing {
		if !s.item.Version.Newer(held) || now.Sub(s.made) > maxAge {
			delete(o.standing, subject)
			b.items--
			continue
		}
		results = append(results, s.item.Result(s.made))
	}
	if len(o.standing) == 0 && o.pace.level(now, originPace) == 0 {
		delete(b.origins, node)
	}
	slices.SortFunc(results, func(x, y health.Result) int {
		return cmp.Or(cmp.Compare(x.Check, y.Check), cmp.Compare(x.Subject, y.Subject))
	})
	return results
}

// Keep takes down what is of nodes that are not known any more.
func (b *Board) Keep(known func(node string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for node, o := range b.origins {
		if !known(node) {
			b.items -= len(o.standing)
			delete(b.origins, node)
		}
	}
}

// Overlay returns results with verdicts in place of those on the same subjects,
// and beside them where there are none. results stays as it is.
func Overlay(results, verdicts []health.Result) []health.Result {
	out := slices.Clone(results)
	for _, v := range verdicts {
		at := slices.IndexFunc(out, func(r health.Result) bool { return r.Check == v.Check && r.Subject == v.Subject })
		if at < 0 {
			out = append(out, v)
		} else {
			out[at] = v
		}
	}
	return out
}
