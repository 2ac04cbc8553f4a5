package state

import (
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// publishAll publishes a snapshot with one series for each label value.
func publishAll(t *testing.T, s *Store, values ...string) {
	t.Helper()
	snapshot := health.Snapshot{Node: s.cfg.Self, Schema: &health.Schema{Families: []health.Family{
		{Name: "grapevine_disk_available_bytes", Help: "Bytes that processes without privileges can still write.", Type: health.Gauge},
	}}}
	for i, v := range values {
		f := &snapshot.Schema.Families[0]
		f.Series = append(f.Series, health.Series{Labels: []health.Label{{Name: "device", Value: v}}})
		snapshot.Values = append(snapshot.Values, float64(i))
	}
	if err := s.Publish(snapshot, 5*time.Second); err != nil {
		t.Fatal(err)
	}
}

// since is what of from's own word somebody lacks who holds what held refers to.
func since(t *testing.T, from *Store, name string, held []frame.Hash) Delta {
	t.Helper()
	return Delta{Frames: from.Frames([]string{name}, 1<<20), Blobs: from.BlobsFor(held, from.Refers(name), 1<<20)}
}

// Whoever holds a node's last schema is told how the next one differs, also by
// those who were told so themselves.
func TestSchemaTravelsAsItsChange(t *testing.T) {
	r := newRealm(t)
	a, b, c, d := r.store("a", 0), r.store("b", 0), r.store("c", 0), r.store("d", 0)
	publishAll(t, a, "sda")
	first := a.Refers("a")
	for _, s := range []*Store{b, c} {
		s.Apply(delta(t, a))
	}
	publishAll(t, a, "sda", "sdb")
	change := since(t, a, "a", first)
	if len(change.Blobs) != 1 {
		t.Fatalf("%d blobs, want the change of the schema alone", len(change.Blobs))
	}
	if whole := a.Blobs(a.Refers("a")[:1], 1<<20); len(change.Blobs[0]) >= len(whole[0]) {
		t.Errorf("the change takes %d bytes, the whole %d", len(change.Blobs[0]), len(whole[0]))
	}
	if out := b.Apply(change); out.Applied != 1 {
		t.Fatalf("%+v", out)
	}
	relayed := since(t, b, "a", first)
	if string(relayed.Blobs[0]) != string(change.Blobs[0]) {
		t.Error("a relay does not pass the change on")
	}
	if out := c.Apply(relayed); out.Applied != 1 {
		t.Fatalf("%+v", out)
	}
	if _, held, _ := value(c, "a"); len(held.Snapshot.Values) != 2 {
		t.Errorf("c holds %v", held.Snapshot.Values)
	}

	// Who lacks the last one asks for the whole, and is cut off by nobody.
	wantRefused(t, d.Apply(change), ReasonMissing)
	if out := d.Apply(since(t, c, "a", nil)); out.Applied != 1 {
		t.Fatalf("the whole: %+v", out)
	}
	if relayed := since(t, d, "a", first); len(relayed.Blobs[0]) <= len(change.Blobs[0]) {
		t.Error("d passes on a change it never had")
	}
}

// A verdict that turns bad, with another limit and unit, needs no new schema.
func TestSchemaOutlivesVerdicts(t *testing.T) {
	r := newRealm(t)
	a := r.store("a", 0)
	say := func(result health.Result) frame.Hash {
		result.Check, result.Subject = "disk", "/"
		if err := a.Publish(health.Snapshot{Node: "a", Schema: &health.Schema{}, Results: []health.Result{result}}, time.Second); err != nil {
			t.Fatal(err)
		}
		return a.Refers("a")[0]
	}
	good := say(health.Result{Evidence: health.Evidence{Value: 0.01, Threshold: 0.1, Unit: "seconds"}})
	bad := say(health.Result{Status: health.Critical, Reason: "full", Evidence: health.Evidence{Value: 1, Threshold: 0.95, Unit: "ratio"}})
	if good != bad {
		t.Error("the schema changed with the verdict")
	}
	b := r.store("b", 0)
	b.Apply(delta(t, a))
	held, _, _ := b.Node("a")
	if got := held.Snapshot.Results[0]; got.Evidence.Unit != "ratio" || got.Evidence.Threshold != 0.95 || got.Reason != "full" {
		t.Errorf("b holds %+v", got)
	}
}

// A reason that stands moves to the schema, and back into frames when it goes.
func TestStandingReasons(t *testing.T) {
	r := newRealm(t)
	a, b := r.store("a", 0), r.store("b", 0)
	long := "a reason of some sixty letters, which has been true all day"
	say := func(reason string) (schema frame.Hash, size int) {
		t.Helper()
		r.now = r.now.Add(5 * time.Second)
		held := a.Refers("a")
		if err := a.Publish(health.Snapshot{
			Node: "a", Schema: &health.Schema{}, Results: []health.Result{{Check: "disk", Subject: "/", Reason: reason}},
		}, time.Second); err != nil {
			t.Fatal(err)
		}
		if out := b.Apply(since(t, a, "a", held)); out.Applied != 1 {
			t.Fatalf("%+v", out)
		}
		node, _, _ := b.Node("a")
		if got := node.Snapshot.Results[0].Reason; got != reason {
			t.Fatalf("b holds %q, want %q", got, reason)
		}
		return a.Refers("a")[0], node.Bytes
	}
	first, _ := say("")
	said, large := say(long)
	if said != first {
		t.Error("a reason that has just come makes a new schema")
	}
	small := large
	for range 13 {
		said, small = say(long)
	}
	if said == first || small > large-len(long) {
		t.Errorf("a reason that stands is said in each frame of %d bytes", small)
	}
	for range 3 {
		if again, _ := say(""); again != said {
			t.Error("the end of a reason makes a new schema")
		}
	}
}

// A bare frame is held for its verdicts, by who holds verdicts only.
func TestBareFrameIsHeld(t *testing.T) {
	r := newRealm(t)
	a, b := r.store("a", 0), r.store("b", 0)
	if err := a.Publish(health.Snapshot{
		Node: "a", Values: []float64{1},
		Schema:  &health.Schema{Families: []health.Family{{Name: "v", Type: health.Gauge, Series: make([]health.Series, 1)}}},
		Results: []health.Result{{Check: "disk", Subject: "/", Status: health.Critical, Reason: "slow"}},
	}, time.Second); err != nil {
		t.Fatal(err)
	}
	d := delta(t, a)
	f, err := frame.Parse(d.Frames[0].Raw, limits)
	if err != nil {
		t.Fatal(err)
	}
	d.Frames[0].Raw = f.WithoutValues().Raw
	if out := b.Apply(d); out.Applied != 0 {
		t.Errorf("by who holds all: %+v", out)
	}
	b.SetBare(true)
	if out := b.Apply(d); out.Applied != 1 {
		t.Fatalf("%+v", out)
	}
	held, _, _ := b.Node("a")
	if got := held.Snapshot; len(got.Schema.Families) != 0 || got.Values != nil || len(got.Results) != 1 || got.Results[0].Reason != "slow" {
		t.Errorf("b holds %+v", got)
	}
}
