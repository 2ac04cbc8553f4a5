package spread

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// room is a cluster in which what is cast arrives at once, counted.
type room struct {
	nodes  map[string]*Spread
	stores map[string]*state.Store
	keys   map[string]ed25519.PublicKey
	dead   map[string]bool
	got    map[string]int // frames, by receiver
	sent   map[string]int // messages, by sender
}

func (r *room) Member(string) bool { return true }

func (r *room) Key(name string, _ []byte) (ed25519.PublicKey, error) { return r.keys[name], nil }

func newRoom(t *testing.T, n int) *room {
	t.Helper()
	r := &room{
		nodes: map[string]*Spread{}, stores: map[string]*state.Store{}, keys: map[string]ed25519.PublicKey{},
		dead: map[string]bool{}, got: map[string]int{}, sent: map[string]int{},
	}
	for i := range n {
		name := fmt.Sprintf("node-%03d", i)
		public, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		r.keys[name] = public
		r.stores[name] = state.New(state.Config{
			Self: name, Cluster: "test", Trust: r, Nodes: 10_000, Identity: []byte(name), Key: key, ForgetAfter: time.Hour, Now: time.Now,
			Limits: frame.Limits{FrameBytes: 1 << 20, SchemaBytes: 1 << 20, Series: 1000, Results: 10, TextBytes: 1000},
		}, 0)
		r.nodes[name] = New(Config{
			Self: name, Store: r.stores[name], Reachable: func(peer string) bool { return !r.dead[peer] },
			Cast: func(to []string, groups int, d state.Delta) {
				for _, peer := range to {
					r.sent[name]++
					if !r.dead[peer] {
						r.got[peer] += len(d.Frames)
						r.nodes[peer].Receive(name, groups, d)
					}
				}
			},
		})
	}
	for _, s := range r.nodes {
		s.SetMembers(slices.Collect(maps.Keys(r.nodes)))
	}
	return r
}

func (r *room) publish(t *testing.T, name string) {
	t.Helper()
	if err := r.stores[name].Publish(health.Snapshot{Node: name, Values: []float64{1}, Schema: &health.Schema{
		Families: []health.Family{{Name: "v", Type: health.Gauge, Series: make([]health.Series, 1)}},
	}}, time.Minute); err != nil {
		t.Fatal(err)
	}
	r.nodes[name].Publish()
}

func (r *room) flush() {
	for name, s := range r.nodes {
		if !r.dead[name] {
			s.Flush()
		}
	}
}

// Every frame reaches everybody, in two hops, and nobody twice.
func TestOnceToEverybody(t *testing.T) {
	for _, n := range []int{1, 2, 8, oneGroup, oneGroup + 1, 50, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, n)
			published := 0
			for name := range r.nodes {
				if published < 40 {
					r.publish(t, name)
					published++
				}
			}
			r.flush()
			most := 0
			for name, s := range r.stores {
				want := published
				if s.Epoch() > 0 {
					want--
				}
				if r.got[name] != want {
					t.Errorf("%s was sent %d frames, want %d", name, r.got[name], want)
				}
				if held := len(s.Nodes()); held != published {
					t.Errorf("%s holds %d of %d", name, held, published)
				}
				most = max(most, r.sent[name])
			}
			if n == 200 && most > 50 {
				t.Errorf("somebody sent %d messages among %d nodes", most, n)
			}
		})
	}
}

// A dead relay is passed by: only those who are dead miss anything.
func TestDeadRelay(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 100)
	for i := range 10 {
		r.dead[fmt.Sprintf("node-%03d", 10*i)] = true
	}
	r.publish(t, "node-001")
	r.flush()
	for name, s := range r.stores {
		if held := len(s.Nodes()); held == 1 == r.dead[name] {
			t.Errorf("%s (dead: %v) holds %d nodes", name, r.dead[name], held)
		}
	}
}

// Views of who is there differ for a while. What that costs is a duplicate or
// a gap, never a flood.
func TestDifferentViews(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 100)
	all := slices.Sorted(maps.Keys(r.nodes))
	for i, name := range all {
		r.nodes[name].SetMembers(append(slices.Clone(all[:i/2]), all[i/2+3:]...))
	}
	for name := range r.nodes {
		r.publish(t, name)
	}
	r.flush()
	held, got := 0, 0
	for name, s := range r.stores {
		held += len(s.Nodes())
		got += r.got[name]
	}
	if held < 100*100*9/10 || got > 100*100*11/10 {
		t.Errorf("%d frames held and %d sent among 100 nodes", held, got)
	}
}

// Nobody can have another's frame passed on, or claim groups to have its own
// sent to everybody by everybody.
func TestRelaysOnlyTheSendersOwn(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 100)
	r.publish(t, "node-001")
	r.flush()
	clear(r.sent)
	relay := r.nodes["node-002"]
	publish := func() state.Delta {
		store := r.stores["node-001"]
		if err := store.Publish(health.Snapshot{Node: "node-001", Schema: &health.Schema{}}, time.Minute); err != nil {
			t.Fatal(err)
		}
		return state.Delta{Frames: store.Frames([]string{"node-001"}, 1<<20), Blobs: store.Blobs(store.Refers("node-001"), 1<<20)}
	}
	relay.Receive("node-003", 8, publish())
	relay.Flush()
	if len(r.sent) != 0 {
		t.Errorf("it passed on a frame for somebody else: %v", r.sent)
	}
	for _, groups := range []int{0, -1, 3, 1 << 20} {
		relay.Receive("node-001", groups, publish())
		relay.Flush()
	}
	if len(r.sent) != 0 {
		t.Errorf("it passed on for groups that cannot be: %v", r.sent)
	}
	relay.Receive("node-001", 1, publish())
	relay.Flush()
	if n := r.sent["node-002"]; n == 0 || n > 30 {
		t.Errorf("asked to be the only group, it sent to %d", n)
	}
}

// Who comes or goes changes who is sent what next, and has nothing sent again.
func TestReshapeSendsNothing(t *testing.T) {
	t.Parallel()
	r := newRoom(t, 60)
	for name := range r.nodes {
		r.publish(t, name)
	}
	r.flush()
	clear(r.sent)
	all := slices.Sorted(maps.Keys(r.nodes))
	for _, members := range [][]string{all[1:], all[30:], all} {
		for name, s := range r.nodes {
			if slices.Contains(members, name) {
				s.SetMembers(members)
			}
		}
		r.flush()
	}
	if len(r.sent) != 0 {
		t.Errorf("sent were %v", r.sent)
	}
	clear(r.got)
	r.publish(t, all[7])
	r.flush()
	for _, name := range all {
		if name != all[7] && r.got[name] != 1 {
			t.Errorf("%s was sent the next frame %d times", name, r.got[name])
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 1, 8: 1, 24: 1, 25: 4, 50: 8, 200: 16, 1000: 32, 5000: 64} {
		if got := Groups(n, 1); got != want {
			t.Errorf("%d members fall into %d groups, want %d", n, got, want)
		}
	}
	// Going through every size and back, groups change only a few times.
	changes, groups := 0, 1
	for _, n := range slices.Concat(span(1, 5000), span(5000, 1), span(720, 730), span(730, 720)) {
		if next := Groups(n, groups); next != groups {
			changes, groups = changes+1, next
		}
	}
	if changes > 14 {
		t.Errorf("the groups changed %d times", changes)
	}
	// One who comes or goes changes the relays of few.
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("node-%d", i))
	}
	reachable := func(string) bool { return true }
	before := newLayout("node-0", names, 32)
	after := newLayout("node-0", names[:999], 32)
	differ := 0
	for i, relay := range before.chosen(reachable) {
		if after.chosen(reachable)[i] != relay {
			differ++
		}
	}
	if differ > 1 {
		t.Errorf("one who went changed %d relays", differ)
	}
}

func span(from, to int) (s []int) {
	for n := min(from, to); n < max(from, to); n++ {
		s = append(s, n)
	}
	if from > to {
		slices.Reverse(s)
	}
	return s
}
