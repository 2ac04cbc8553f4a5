package state

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
)

// says publishes a verdict on one subject, and a value.
func says(t *testing.T, s *Store, status health.Status, reason string) {
	t.Helper()
	now := s.cfg.Now()
	series := func(labels ...health.Label) []health.Series { return []health.Series{{Labels: labels}} }
	if err := s.Publish(health.Snapshot{
		Node: s.cfg.Self, Values: []float64{float64(status), 42},
		Schema: &health.Schema{Version: "1.0.0", Families: []health.Family{
			{Name: statusFamily, Help: "Verdict.", Type: health.Gauge, Series: series(health.Label{Name: "check", Value: "disk"}, health.Label{Name: "subject", Value: "/"})},
			{Name: "v", Type: health.Gauge, Series: series()},
		}},
		Results: []health.Result{{Check: "disk", Subject: "/", Status: status, Reason: reason, Observed: now, Since: now}},
	}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
}

// hear makes leaf ask holder, and returns of how many nodes it had to be sent
// the verdicts.
func hear(t *testing.T, leaf, holder *Store) int {
	t.Helper()
	q := leaf.Inquire()
	chapters, err := holder.Tell(leaf.cfg.Self, q.Sums)
	if err != nil {
		t.Fatal(err)
	}
	wants, err := leaf.Hear(q, chapters)
	if err != nil {
		t.Fatal(err)
	}
	frames := holder.Bare(wants, 1<<20)
	hashes, err := References(frames, limits)
	if err != nil {
		t.Fatal(err)
	}
	out := leaf.Apply(Delta{Frames: frames, Blobs: holder.Blobs(leaf.Missing(hashes), 1<<20)})
	if len(out.Refused) > 0 || out.Applied != len(wants) {
		t.Fatalf("of %v: %+v", wants, out)
	}
	return len(wants)
}

// told is what s holds of name, for comparison.
func told(t *testing.T, s *Store, name string) (status health.Status, age time.Duration, held Held) {
	t.Helper()
	held, _, ok := s.Node(name)
	if !ok || len(held.Snapshot.Results) != 1 {
		t.Fatalf("of %s is held %+v", name, held)
	}
	return held.Snapshot.Results[0].Status, s.cfg.Now().Sub(held.Fresh), held
}

func TestLeafHoldsVerdictsAndAges(t *testing.T) {
	r := newRealm(t)
	holder, leaf, n := r.store("holder", 0), r.store("leaf", 0), r.store("n", 0)
	leaf.SetBare(true)
	says(t, leaf, health.OK, "")
	says(t, holder, health.OK, "")
	says(t, n, health.Warning, "filling up")
	if out := holder.Apply(delta(t, n)); out.Applied != 1 {
		t.Fatal(out)
	}
	r.now = r.now.Add(1234 * time.Millisecond)
	if got := hear(t, leaf, holder); got != 2 {
		t.Errorf("verdicts of %d nodes are sent, want 2", got)
	}
	status, age, held := told(t, leaf, "n")
	want := &health.Snapshot{Node: "n", Values: []float64{1}, Results: held.Snapshot.Results, Schema: &health.Schema{
		Version: "1.0.0", Families: []health.Family{{Name: statusFamily, Help: "Verdict.", Type: health.Gauge, Series: []health.Series{
			{Labels: []health.Label{{Name: "check", Value: "disk"}, {Name: "subject", Value: "/"}}},
		}}},
	}}
	if diff := cmp.Diff(want, held.Snapshot); diff != "" {
		t.Errorf("held of n (-want +got):\n%s", diff)
	}
	if status != health.Warning || age != 1234*time.Millisecond || !held.Bare {
		t.Errorf("%v, %v old: %+v", status, age, held)
	}
	if _, _, own := told(t, leaf, "leaf"); own.Bare || len(own.Snapshot.Values) != 2 {
		t.Errorf("of itself: %+v", own)
	}
	if mean := leaf.MeanBytes(); mean != float64(len(leaf.Frames([]string{"leaf"}, 1<<20)[0].Raw)) {
		t.Errorf("the mean of its one full frame is %v", mean)
	}

	// While nothing changes, ages alone are told; never fresher than true.
	says(t, n, health.Warning, "filling up still")
	holder.Apply(delta(t, n))
	r.now = r.now.Add(time.Second + time.Millisecond)
	if got := hear(t, leaf, holder); got != 0 {
		t.Errorf("verdicts of %d nodes are sent when none has changed", got)
	}
	if _, age, _ := told(t, leaf, "n"); age != 1100*time.Millisecond {
		t.Errorf("n is %v old, want 1.1s for 1.001s", age)
	}
	if _, age, _ := told(t, leaf, "holder"); age != 2235*time.Millisecond {
		t.Errorf("the holder itself is %v old, want 2.235s, as its frame told", age)
	}
	// A holder that knows less takes nothing back.
	r.now = r.now.Add(10 * time.Second)
	other := r.store("other", 0)
	if got := hear(t, leaf, other); got != 0 {
		t.Errorf("verdicts of %d nodes are sent by one that has none", got)
	}
	if _, age, _ := told(t, leaf, "n"); age != 11100*time.Millisecond {
		t.Errorf("n is %v old, want 11.1s", age)
	}
	// What is silent grows old.
	if hear(t, leaf, holder); true {
		if _, age, _ := told(t, leaf, "n"); age < 11*time.Second {
			t.Errorf("n fell silent and is %v old", age)
		}
	}

	says(t, n, health.Critical, "full")
	holder.Apply(delta(t, n))
	if got := hear(t, leaf, holder); got != 1 {
		t.Errorf("verdicts of %d nodes are sent when one has changed", got)
	}
	if status, age, _ := told(t, leaf, "n"); status != health.Critical || age != 0 {
		t.Errorf("after the change: %v, %v old", status, age)
	}
}

// Reasons of what is bad are not older than a few frames; what is well costs
// nothing.
func TestLeafIsToldAnewWhatIsBad(t *testing.T) {
	r := newRealm(t)
	holder, leaf, n := r.store("holder", 0), r.store("leaf", 0), r.store("n", 0)
	leaf.SetBare(true)
	for status, want := range map[health.Status]int{health.OK: 0, health.Critical: 4} {
		says(t, n, status, "")
		holder.Apply(delta(t, n))
		hear(t, leaf, holder)
		got := 0
		for i := range 4 * refresh {
			says(t, n, status, fmt.Sprint("for the ", i, "th time"))
			holder.Apply(delta(t, n))
			got += hear(t, leaf, holder)
		}
		if got != want {
			t.Errorf("%v for %d frames is told anew %d times, want %d", status, 4*refresh, got, want)
		}
	}
}

// A node that holds verdicts only gets the values back when it is to hold them.
func TestLeafBecomesAHolder(t *testing.T) {
	r := newRealm(t)
	holder, leaf, n := r.store("holder", 0), r.store("leaf", 0), r.store("n", 0)
	says(t, n, health.OK, "")
	holder.Apply(delta(t, n))
	leaf.Apply(delta(t, n))
	leaf.SetBare(true)
	if _, _, held := told(t, leaf, "n"); !held.Bare || len(held.Snapshot.Values) != 1 {
		t.Errorf("a leaf keeps %+v", held)
	}
	// Whoever takes it for more is told no bare frames, and asked for none.
	if news, wants, _, ok := leaf.DiffPlaces(holder.Places(), 1<<20); !ok || len(news) != 0 || len(wants) != 0 {
		t.Errorf("by places a leaf gives %d frames and wants %v (%v)", len(news), wants, ok)
	}
	if news, wants, _ := leaf.Diff(holder.Digest(), 1<<20); len(news) != 0 || len(wants) != 0 {
		t.Errorf("a leaf gives %d frames and wants %v", len(news), wants)
	}
	if out := holder.Apply(Delta{Frames: leaf.Bare([]string{"n"}, 1<<20)}); out.Applied != 0 {
		t.Errorf("a bare frame takes the place of values: %+v", out)
	}
	fresh := r.store("fresh", 0)
	if out := fresh.Apply(Delta{Frames: leaf.Bare([]string{"n"}, 1<<20)}); out.Applied != 0 || len(fresh.Nodes()) != 0 {
		t.Errorf("a bare frame is taken for a whole one: %+v", out)
	}

	leaf.SetBare(false)
	news, _, _ := holder.Diff(leaf.Digest(), 1<<20)
	places := leaf.Places()
	if byPlaces, _, _, ok := holder.DiffPlaces(places, 1<<20); !ok || len(byPlaces) != len(news) {
		t.Errorf("by places %d frames are given (%v), by names %d", len(byPlaces), ok, len(news))
	}
	if _, wants, _, ok := leaf.DiffPlaces(holder.Places(), 1<<20); !ok || !cmp.Equal(wants, []string{"n"}) {
		t.Errorf("by places it wants %v (%v)", wants, ok)
	}
	if out := leaf.Apply(Delta{Frames: news}); out.Applied != 1 {
		t.Errorf("the values do not come back: %+v", out)
	}
	if _, _, held := told(t, leaf, "n"); held.Bare || len(held.Snapshot.Values) != 2 {
		t.Errorf("as a holder it has %+v", held)
	}
}

func TestInquiryOfALiar(t *testing.T) {
	r := newRealm(t)
	holder, leaf, n := r.store("holder", 0), r.store("leaf", 0), r.store("n", 0)
	leaf.SetBare(true)
	says(t, n, health.OK, "")
	holder.Apply(delta(t, n))
	hear(t, leaf, holder)
	for _, size := range []int{0, maxChapters + 1} {
		if _, err := holder.Tell("leaf", make([]uint64, size)); err == nil {
			t.Errorf("an inquiry of %d chapters is answered", size)
		}
	}
	for label, chapters := range map[string][]Chapter{
		"none":         nil,
		"two":          make([]Chapter, 2),
		"age cut off":  {{Ages: []byte{0x80}}},
		"age too long": {{Ages: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}},
	} {
		if _, err := leaf.Hear(leaf.Inquire(), chapters); err == nil {
			t.Errorf("%s: taken", label)
		}
	}
	r.now = r.now.Add(time.Second)
	wants, err := leaf.Hear(leaf.Inquire(), []Chapter{{Nodes: []Verdicts{{"stranger", 1, 0}, {"leaf", 1, 0}, {"n", 1, -time.Hour}}}})
	if err != nil || !cmp.Equal(wants, []string{"n"}) {
		t.Errorf("wants %v, %v", wants, err)
	}
	if _, age, _ := told(t, leaf, "n"); age != time.Second {
		t.Errorf("n is %v old", age)
	}
}
