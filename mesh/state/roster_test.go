package state

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// A digest by places says the same as one by names, whatever the two sides
// hold of each other, of what is under way and of themselves.
func TestPlacesSayWhatNamesSay(t *testing.T) {
	t.Parallel()
	r := newRealm(t)
	a, b := r.store("a", 0), r.store("b", 0)
	others := []*Store{r.store("older", 0), r.store("newer", 0), r.store("same", 0)}
	stores := append(slices.Clone(others), a, b)
	for _, s := range stores {
		s.cfg.Settle = time.Second
		publish(t, s, 1)
	}
	for _, to := range stores[3:] {
		for _, from := range stores {
			to.Apply(delta(t, from))
		}
	}
	for step, do := range []func(){
		func() {},
		func() { publish(t, others[0], 2); b.Apply(delta(t, others[0])) }, // under way to a
		func() { publish(t, others[1], 2); a.Apply(delta(t, others[1])) }, // under way to b
		func() { r.now = r.now.Add(2 * time.Second) },                     // both have got stuck
		func() { publish(t, others[0], 3); b.Apply(delta(t, others[0])) }, // two behind, one of them young
		func() { publish(t, a, 2); publish(t, b, 2) },
		func() { delete(r.members, "older") },
	} {
		do()
		news, wants, refusal, ok := a.DiffPlaces(b.Places(), 1<<20)
		if !ok || refusal != nil {
			t.Fatalf("step %d: %v, %v", step, ok, refusal)
		}
		wantNews, wantWants, _ := a.Diff(b.Digest(), 1<<20)
		if diff := cmp.Diff(names(t, wantNews), names(t, news)); diff != "" {
			t.Errorf("step %d: news (-by names +by places):\n%s", step, diff)
		}
		slices.Sort(wantWants)
		if !slices.Equal(wants, wantWants) {
			t.Errorf("step %d: by places a wants %v, by names %v", step, wants, wantWants)
		}
	}
	if news, _, _, ok := a.DiffPlaces(b.Places(), 1); !ok || len(news) != 0 {
		t.Errorf("%d frames in a budget of one byte", len(news))
	}
	p := b.Places()
	p.Numbers = p.Numbers[:len(p.Numbers)-1]
	if _, _, _, ok := a.DiffPlaces(p, 1<<20); ok {
		t.Error("a digest that is too short passes")
	}
	a.Forget("same")
	if _, _, _, ok := a.DiffPlaces(b.Places(), 1<<20); ok {
		t.Error("a digest of another roster passes")
	}
}

// names of the nodes whose frames these are, sorted.
func names(t *testing.T, frames []Relayed) []string {
	t.Helper()
	var of []string
	for _, r := range frames {
		f, err := frame.Parse(r.Raw, limits)
		if err != nil {
			t.Fatal(err)
		}
		of = append(of, f.Node)
	}
	slices.Sort(of)
	return of
}
