package mesh

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// leaf is how a node that does not hold everybody's series takes part: it
// gives its own frame to an aggregator, and asks aggregators for the verdicts
// and ages of all.
type leaf struct {
	*Mesh

	mu   sync.Mutex // guards what follows
	to   string     // whom its frame was given last
	told []frame.Hash
	away map[string]time.Time // aggregators that did not answer, and until when they are left alone
}

func newLeaf(m *Mesh) *leaf { return &leaf{Mesh: m, away: map[string]time.Time{}} }

const (
	// circle is how many aggregators a leaf turns to in the usual case, so
	// that each serves about as many leaves.
	circle = minAggregators
	// leaveAlone is for how long an aggregator that has not answered is asked
	// last.
	leaveAlone = 15 * time.Second
	// maxBatch bounds a frame and what it refers to.
	maxBatch = 1 << 20
)

// publish casts this node's newest frame to one aggregator, which passes it
// on to the others. If that is lost, the next inquiry makes up for it.
func (l *leaf) publish() {
	candidates := l.candidates()
	if len(candidates) == 0 {
		return
	}
	d := state.Delta{Frames: l.store.Frames([]string{l.cfg.Node}, maxBatch)}
	hashes := l.store.Refers(l.cfg.Node)
	l.mu.Lock()
	if to := candidates[0]; to != l.to || !slices.Equal(hashes, l.told) {
		d.Blobs = l.store.Blobs(hashes, maxBatch)
		l.to, l.told = to, hashes
	}
	to := l.to
	l.mu.Unlock()
	l.cast([]string{to}, 1, d)
}

// candidates lists the aggregators in the order in which this node turns to
// them: those of its zone as it prefers them, then all others; in each part
// those first that can be reached.
func (l *leaf) candidates() []string {
	_, near, all := l.roles.now()
	others := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(near, name) })
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	names := slices.DeleteFunc(slices.Concat(near, others), func(name string) bool { return name == l.cfg.Node })
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	reached := func(name string) bool { return now.After(l.away[name]) && l.exchange.Reachable(name) }
	slices.SortStableFunc(names, func(a, b string) int {
		switch x, y := reached(a), reached(b); {
		case x && !y:
			return -1
		case y && !x:
			return +1
		}
		return 0
	})
	return names
}

// maxTries is how many aggregators are asked in one round, before the next
// one has its turn.
const maxTries = 4

// inquire asks one aggregator of the circle, and another when it does not
// answer.
func (l *leaf) inquire(ctx context.Context) {
	candidates := l.candidates()
	first := candidates[:min(circle, len(candidates))]
	rand.Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
	for _, name := range candidates[:min(maxTries, len(candidates))] {
		mean, err := l.exchange.Inquire(ctx, name, l.exchangeOf(name))
		l.observer.round(err, name)
		l.note(name, err)
		if err == nil {
			l.roles.sizes(float64(mean))
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// note remembers whether an aggregator answers.
func (l *leaf) note(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		delete(l.away, name)
		return
	}
	if len(l.away) >= maxTopics {
		clear(l.away)
	}
	l.away[name] = l.cfg.Now().Add(leaveAlone)
}

// Holders lists the nodes that hold, as far as is known here, the series of
// all nodes; this node is not among them. The best to ask come first.
func (m *Mesh) Holders() []string {
	if _, _, all := m.roles.now(); all != nil {
		return m.leaf.candidates()
	}
	var names []string
	for name, member := range m.gossip.all() {
		if name != m.cfg.Node && member.State == MemberAlive {
			names = append(names, name)
		}
	}
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}

// Pipe opens a connection to another node, which its Pipes accepts. Both have
// proved their names.
func (m *Mesh) Pipe(ctx context.Context, node string) (net.Conn, error) {
	conn, err := m.exchange.Pipe(ctx, node, m.exchangeOf(node))
	m.leaf.note(node, err)
	return conn, err
}

// Pipes listens for what other nodes open by Pipe. Call it once, before Run.
func (m *Mesh) Pipes() net.Listener { return m.exchange.Pipes() }
