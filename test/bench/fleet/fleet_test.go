package fleet

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
)

// A node has as many lines of text as were asked for, whatever their number.
func TestShape(t *testing.T) {
	t.Parallel()
	for _, s := range []Shape{{3, 1, 0}, {3, 1, 1}, {2, 17, 0.5}, {10, 100, 0}, {10, 100, 0.2}, {10, 100, 1}, {2, 5000, 0.2}} {
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		view := New(s).View()
		schemas := map[*health.Schema]bool{}
		for _, n := range view.Nodes {
			samples := 0
			for _, f := range n.Snapshot.Schema.Families {
				for _, one := range f.Series {
					samples += one.Width(f.Type)
					if f.Type == health.Histogram {
						samples++ // the bucket +Inf
					}
				}
				if !slices.IsSortedFunc(f.Series, func(a, b health.Series) int { return health.CompareLabels(a.Labels, b.Labels) }) {
					t.Errorf("%+v: the series of %s are not sorted", s, f.Name)
				}
			}
			if samples != s.Series || len(n.Snapshot.Values) != n.Snapshot.Schema.Width() {
				t.Errorf("%+v: %s has %d samples, and %d values where the schema is %d wide",
					s, n.Name, samples, len(n.Snapshot.Values), n.Snapshot.Schema.Width())
			}
			schemas[n.Snapshot.Schema] = true
		}
		if want := map[bool]int{true: 1, false: s.Nodes}[s.Own == 0]; len(schemas) != want {
			t.Errorf("%+v: %d schemas, want %d", s, len(schemas), want)
		}
	}
}

// The ratio of series that no other node has is the one asked for.
func TestOwnSeries(t *testing.T) {
	t.Parallel()
	nodes := New(Shape{Nodes: 300, Series: 100, Own: 0.2}).View().Nodes
	holders := map[string]int{}
	for _, n := range nodes {
		for key := range seriesOf(n.Snapshot) {
			holders[key]++
		}
	}
	single := 0
	for _, n := range holders {
		switch n {
		case 1:
			single++
		case len(nodes):
		default:
			t.Fatalf("a series is held by %d of %d nodes", n, len(nodes))
		}
	}
	if single != 20*len(nodes) {
		t.Errorf("%d series of 300 nodes are their own, want 20 of each", single)
	}
}

func seriesOf(s *health.Snapshot) map[string]bool {
	keys := map[string]bool{}
	for _, f := range s.Schema.Families {
		for _, one := range f.Series {
			key := f.Name
			for _, l := range one.Labels {
				key += "," + l.Name + "=" + l.Value
			}
			keys[key] = true
		}
	}
	return keys
}

// Programs that are given the same shape show the same, however the nodes have
// come to their snapshots.
func TestSameEverywhere(t *testing.T) {
	t.Parallel()
	s := Shape{Nodes: 5, Series: 100, Own: 0.2}
	a, b := New(s), New(s)
	a.ChangeAll()
	for i := range 5 {
		b.change(4-i, 5-i)
	}
	for i, n := range a.View().Nodes {
		other := b.View().Nodes[i]
		if diff := cmp.Diff(n.Snapshot, other.Snapshot); diff != "" || n.Version != other.Version {
			t.Fatalf("they differ in %s:\n%s", n.Name, diff)
		}
	}
}

// Counters grow, histograms add up, and an old snapshot stays what it was.
func TestValuesGoOn(t *testing.T) {
	t.Parallel()
	f := New(Shape{Nodes: 2, Series: 100, Own: 0.2})
	changed, total := 0, 0
	for range 50 {
		old := f.View().Nodes[1]
		before := slices.Clone(old.Snapshot.Values)
		f.ChangeAll()
		now := f.View().Nodes[1]
		if !slices.Equal(before, old.Snapshot.Values) || now.Snapshot == old.Snapshot || now.Version != old.Version+1 {
			t.Fatal("a snapshot was changed in place, or none was made")
		}
		if now.Snapshot.Schema != old.Snapshot.Schema {
			t.Fatal("the schema is another")
		}
		at := 0
		for _, family := range now.Snapshot.Schema.Families {
			for _, one := range family.Series {
				w := one.Width(family.Type)
				was, is := before[at:at+w], now.Snapshot.Values[at:at+w]
				at += w
				for i := range is {
					total++
					if is[i] != was[i] {
						changed++
					}
					if math.IsNaN(is[i]) || family.Type != health.Gauge && is[i] < was[i] {
						t.Fatalf("%s goes from %v to %v", family.Name, was, is)
					}
				}
				if family.Type == health.Histogram && (is[w-1] != was[w-1]+1 || !slices.IsSorted(is[:w-2])) {
					t.Fatalf("%s goes from %v to %v", family.Name, was, is)
				}
			}
		}
	}
	if ratio := float64(changed) / float64(total); ratio < 0.3 || ratio > 0.8 {
		t.Errorf("%.2f of the values change, and not about half", ratio)
	}
}

// Each node changes once in the interval, and not all at the same moment.
func TestRun(t *testing.T) {
	t.Parallel()
	f := New(Shape{Nodes: 50, Series: 1})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { f.Run(ctx, 400*time.Millisecond); close(done) }()
	uneven := false
	for {
		nodes := f.View().Nodes
		first, last := nodes[0].Version, nodes[len(nodes)-1].Version
		if first < last || first > last+1 {
			t.Fatalf("the first node has made %d snapshots, the last %d", first, last)
		}
		uneven = uneven || first != last
		if last > 3 && uneven {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	<-done
}

func TestHas(t *testing.T) {
	t.Parallel()
	f := New(Shape{Nodes: 1, Series: 100, Own: 0.2})
	for name, want := range map[string]bool{
		"grapevine_disk_up": true, "grapevine_disk_up_": false, "grapevine_disk_fsync_duration_seconds_bucket": true,
		"grapevine_disk_fsync_duration_seconds": false, "grapevine_node_up": false, "push_time_seconds": false, "up": false,
		"grapevine_check_runs_total": true, "grapevine_disk_up_sum": false,
	} {
		if f.Has(name) != want {
			t.Errorf("Has(%s) is %v", name, !want)
		}
	}
}

func TestInvalidShapes(t *testing.T) {
	t.Parallel()
	for _, s := range []Shape{{0, 1, 0}, {1, 0, 0}, {MaxNodes + 1, 1, 0}, {1, MaxSeries + 1, 0}, {1, 1, -0.1}, {1, 1, 1.1}, {1, 1, math.NaN()}} {
		if s.Validate() == nil {
			t.Errorf("%+v is taken", s)
		}
	}
}
