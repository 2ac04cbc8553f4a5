package news

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

func itemOf(node, subject string, number uint64) Item {
	i := slowDisk()
	i.Node, i.Subject, i.Version.Number = node, subject, number
	return i
}

func TestBoardShowsUntilAFrameSaysIt(t *testing.T) {
	t.Parallel()
	b, now := NewBoard(), time.Now()
	held := frame.Version{Epoch: 3, Number: 10}
	subjects := func(held frame.Version, at time.Time) (s []string) {
		for _, r := range b.Standing("cp-1", held, at, time.Minute) {
			s = append(s, r.Subject)
		}
		return s
	}
	for _, step := range []struct {
		item Item
		want string
	}{
		{itemOf("cp-1", "b", 12), Shown},
		{itemOf("cp-1", "b", 12), Repeat},
		{itemOf("cp-1", "b", 11), Repeat},
		{itemOf("cp-1", "a", 14), Shown},
		{itemOf("cp-1", "b", 13), Shown},
		{itemOf("cp-2", "b", 13), Shown},
	} {
		if got := b.Post(step.item, now, now); got != step.want {
			t.Errorf("%+v: %s, want %s", step.item, got, step.want)
		}
	}
	for _, step := range []struct {
		held frame.Version
		at   time.Duration
		want []string
	}{
		{held, 0, []string{"a", "b"}},
		{frame.Version{Epoch: 3, Number: 13}, 0, []string{"a"}},
		{held, 59 * time.Second, []string{"a"}}, // taken down for good
		{held, 61 * time.Second, nil},
	} {
		if got := subjects(step.held, now.Add(step.at)); !cmp.Equal(got, step.want) {
			t.Errorf("with %v after %v: %v, want %v", step.held, step.at, got, step.want)
		}
	}
	if b.items != 1 || len(b.origins) != 1 {
		t.Errorf("%d items of %d nodes are held, want those of cp-2", b.items, len(b.origins))
	}
	b.Keep(func(node string) bool { return node != "cp-2" })
	if b.items != 0 || len(b.origins) != 0 {
		t.Errorf("%d items of %d nodes are held after all are forgotten", b.items, len(b.origins))
	}
}

// One node that tells without end takes nothing from the others, and all
// together fill no memory.
func TestBoardBoundsAFlood(t *testing.T) {
	t.Parallel()
	b, now := NewBoard(), time.Now()
	shown := 0
	for i := range 10_000 {
		if b.Post(itemOf("liar", fmt.Sprint(i), 12), now, now) == Shown {
			shown++
		}
	}
	if shown != originBurst {
		t.Errorf("%d items of a flood are shown, want %d", shown, originBurst)
	}
	if got := b.Post(itemOf("cp-1", "a", 12), now, now); got != Shown {
		t.Errorf("another node's item: %s", got)
	}
	if got := b.Post(itemOf("liar", "later", 12), now, now.Add(2*originPace)); got != Shown {
		t.Errorf("after a pause: %s", got)
	}
	for i := range 2 * maxItems {
		b.Post(itemOf(fmt.Sprint("n", i), "a", 12), now, now)
	}
	if b.items > maxItems || len(b.origins) > maxItems {
		t.Errorf("%d items of %d nodes are held", b.items, len(b.origins))
	}
	admitted := 0
	for range 1000 {
		if b.Admit(now) {
			admitted++
		}
	}
	if admitted != judgeBurst {
		t.Errorf("%d items are judged at once, want %d", admitted, judgeBurst)
	}
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	held := []health.Result{{Check: "disk", Subject: "a"}, {Check: "disk", Subject: "b"}}
	bad := health.Result{Check: "disk", Subject: "b", Status: health.Critical}
	other := health.Result{Check: "etcd", Subject: "b", Status: health.Critical}
	got := Overlay(held, []health.Result{bad, other})
	if diff := cmp.Diff([]health.Result{held[0], bad, other}, got); diff != "" {
		t.Error(diff)
	}
	if held[1].Status != health.OK {
		t.Error("it changed what others read")
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	start := time.Now()
	type step struct {
		at      time.Duration
		subject string
		want    bool
	}
	for label, tc := range map[string]struct {
		heard int
		steps []step
	}{
		"burst, then one in a while": {0, []step{
			{0, "a", true}, {0, "b", true}, {0, "c", true}, {0, "d", false}, {4 * time.Second, "d", false}, {5 * time.Second, "d", true}, {6 * time.Second, "e", false},
		}},
		"flapping": {0, []step{
			{0, "a", true}, {10 * time.Second, "a", false}, {59 * time.Second, "a", false}, {60 * time.Second, "a", true},
		}},
		"many have spoken": {1000, []step{
			{0, "a", false}, {time.Second, "a", true}, {time.Second, "b", true}, {time.Second, "c", false},
		}},
	} {
		var p Pace
		for range tc.heard {
			p.Heard(start)
		}
		for _, s := range tc.steps {
			if got := p.Allow(Subject{"disk", s.subject}, start.Add(s.at)); got != s.want {
				t.Errorf("%s: %s after %v: %v", label, s.subject, s.at, got)
			}
		}
		if len(p.told) > 4 {
			t.Errorf("%s: it remembers %d subjects", label, len(p.told))
		}
	}
}
