package state

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

var limits = frame.Limits{FrameBytes: 10_000, SchemaBytes: 10_000, Series: 100, Results: 10, TextBytes: 100}

// realm is a cluster of stores that share a clock and know each other's keys.
type realm struct {
	t       *testing.T
	now     time.Time
	members map[string]bool
	keys    map[string]ed25519.PrivateKey
}

func newRealm(t *testing.T) *realm {
	return &realm{t: t, now: time.Unix(1e9, 0), members: map[string]bool{}, keys: map[string]ed25519.PrivateKey{}}
}

func (r *realm) Member(name string) bool { return r.members[name] }

// Key trusts an identity that is "NAME's key".
func (r *realm) Key(name string, encoded []byte) (ed25519.PublicKey, error) {
	if string(encoded) != name+"'s key" {
		return nil, errors.New("not the key of " + name)
	}
	return r.keys[name].Public().(ed25519.PublicKey), nil
}

func (r *realm) store(name string, lastEpoch uint64) *Store {
	r.t.Helper()
	r.members[name] = true
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.keys[name] == nil {
		r.keys[name] = key
	}
	return New(Config{
		Self: name, Cluster: "test", Trust: r, Limits: limits, Nodes: 5, Identity: []byte(name + "'s key"), Key: r.keys[name],
		ForgetAfter: time.Hour, Now: func() time.Time { return r.now },
	}, lastEpoch)
}

func publish(t *testing.T, s *Store, value float64) {
	t.Helper()
	if err := s.Publish(health.Snapshot{
		Node: s.cfg.Self, Values: []float64{value},
		Schema: &health.Schema{Families: []health.Family{{Name: "v", Type: health.Gauge, Series: make([]health.Series, 1)}}},
	}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
}

// delta is all that from holds, schemas and identities too.
func delta(t *testing.T, from *Store) Delta {
	t.Helper()
	frames, _, _ := from.Diff(nil, 1<<20)
	hashes, err := References(frames, limits)
	if err != nil {
		t.Fatal(err)
	}
	return Delta{Frames: frames, Blobs: from.Blobs(hashes, 1<<20)}
}

// value is what s holds of name's only series; ok is false if it holds nothing.
func value(s *Store, name string) (v float64, held Held, ok bool) {
	for _, h := range s.Nodes() {
		if h.Name == name {
			return h.Snapshot.Values[0], h, true
		}
	}
	return 0, Held{}, false
}

func wantValue(t *testing.T, s *Store, name string, want float64) {
	t.Helper()
	if got, _, ok := value(s, name); !ok || got != want {
		t.Errorf("%s holds %v (%v) of %s, want %v", s.cfg.Self, got, ok, name, want)
	}
}

func wantRefused(t *testing.T, out Outcome, reason string) {
	t.Helper()
	if len(out.Refused) != 1 || out.Refused[0].Reason != reason || out.Applied != 0 {
		t.Errorf("got %+v, want one refusal for %s", out, reason)
	}
}

func TestNewestWins(t *testing.T) {
	r := newRealm(t)
	a, b, c := r.store("a", 0), r.store("b", 0), r.store("c", 0)
	publish(t, a, 1)
	old := delta(t, a)
	publish(t, a, 2)
	b.Apply(delta(t, a))
	wantValue(t, b, "a", 2)
	if out := b.Apply(old); out.Old != 1 || out.Applied != 0 {
		t.Errorf("an older frame: %+v", out)
	}
	wantValue(t, b, "a", 2)

	// c has it from b, unopened, and its age is the way it came.
	r.now = r.now.Add(7 * time.Second)
	relayed := delta(t, b)
	r.now = r.now.Add(time.Hour) // c's clock is its own: only the age counts
	c.Apply(relayed)
	_, held, _ := value(c, "a")
	if age := r.now.Sub(held.Made); age != 7*time.Second {
		t.Errorf("c takes the frame to be %v old, want 7s", age)
	}
}

func TestEpochOutlivesLostDisk(t *testing.T) {
	r := newRealm(t)
	a, b := r.store("a", 4), r.store("b", 0)
	publish(t, a, 1)
	publish(t, a, 2)
	b.Apply(delta(t, a))
	if a.Epoch() != 5 {
		t.Errorf("after epoch 4 came %d", a.Epoch())
	}

	reborn := r.store("a", 0)
	publish(t, reborn, 3)
	b.Apply(delta(t, reborn))
	wantValue(t, b, "a", 2)
	// It hears what it said in its earlier life, and goes on from there.
	wantRefused(t, reborn.Apply(delta(t, b)), ReasonOwnName)
	publish(t, reborn, 4)
	b.Apply(delta(t, reborn))
	wantValue(t, b, "a", 4)
	if reborn.Epoch() != 6 {
		t.Errorf("the reborn node speaks in epoch %d, want 6", reborn.Epoch())
	}
	// The same by digest alone.
	again := r.store("a", 0)
	_, _, refusal := again.Diff(b.Digest(), 1<<20)
	if refusal == nil || refusal.Hostile || again.Epoch() != 7 {
		t.Errorf("by digest: %v, epoch %d, want 7", refusal, again.Epoch())
	}
}

func TestLiarCannotExhaustEpochs(t *testing.T) {
	r := newRealm(t)
	a := r.store("a", 0)
	_, _, refusal := a.Diff([]Have{{Name: "a", Version: frame.Version{Epoch: 1 << 60, Number: 1}}}, 1<<20)
	if refusal == nil || !refusal.Hostile || a.Epoch() != 0 {
		t.Errorf("got %v and epoch %d", refusal, a.Epoch())
	}
}

func TestRefusals(t *testing.T) {
	r := newRealm(t)
	a, b := r.store("a", 0), r.store("b", 0)
	publish(t, a, 1)
	good := delta(t, a)

	t.Run("not a member", func(t *testing.T) {
		r.members["a"] = false
		wantRefused(t, b.Apply(good), ReasonNotMember)
		r.members["a"] = true
	})
	t.Run("without schema", func(t *testing.T) { wantRefused(t, b.Apply(Delta{Frames: good.Frames}), ReasonMissing) })
	t.Run("garbage", func(t *testing.T) {
		wantRefused(t, b.Apply(Delta{Frames: []Relayed{{Raw: []byte("garbage")}}}), ReasonGarbage)
	})
	t.Run("too old", func(t *testing.T) {
		wantRefused(t, b.Apply(Delta{Frames: []Relayed{{good.Frames[0].Raw, 2 * time.Hour}}, Blobs: good.Blobs}), ReasonTooOld)
	})
	t.Run("another's name", func(t *testing.T) {
		thief := r.store("thief", 0)
		thief.cfg.Self = "a"
		publish(t, thief, 666)
		wantRefused(t, b.Apply(delta(t, thief)), ReasonIdentity)
		thief.self, thief.cfg.Identity = a.self, a.cfg.Identity // the right certificate, without its key
		publish(t, thief, 666)
		out := b.Apply(delta(t, thief))
		wantRefused(t, out, ReasonSignature)
		if !out.Refused[0].Hostile {
			t.Error("a forged signature does not cut the connection")
		}
	})
	t.Run("too many nodes", func(t *testing.T) {
		for _, name := range []string{"n1", "n2", "n3", "n4", "n5"} {
			n := r.store(name, 0)
			publish(t, n, 1)
			if out := b.Apply(delta(t, n)); out.Applied != 1 {
				t.Fatalf("%s: %+v", name, out)
			}
		}
		wantRefused(t, b.Apply(good), ReasonTooMuch)
	})
	if _, _, ok := value(b, "a"); ok {
		t.Error("something refused was kept")
	}
}

func TestForgottenStaysForgotten(t *testing.T) {
	r := newRealm(t)
	a, b := r.store("a", 0), r.store("b", 0)
	publish(t, a, 1)
	old := delta(t, a)
	b.Apply(old)
	b.Forget("a")
	if out := b.Apply(old); out.Old != 1 {
		t.Errorf("a forgotten frame came back: %+v", out)
	}
	publish(t, a, 2) // it comes back itself
	b.Apply(delta(t, a))
	wantValue(t, b, "a", 2)

	r.now = r.now.Add(61 * time.Minute)
	b.Sweep()
	if _, _, ok := value(b, "a"); ok {
		t.Error("a silent node is not forgotten")
	}
	if n := len(b.blobs); n != 0 {
		t.Errorf("%d blobs are held for nobody", n)
	}
	r.now = r.now.Add(2 * time.Hour)
	b.Sweep()
	if n := len(b.tombstones); n != 0 {
		t.Errorf("%d tombstones are kept for ever", n)
	}
}

func TestDiffSendsOnlyNews(t *testing.T) {
	r := newRealm(t)
	a, b := r.store("a", 0), r.store("b", 0)
	publish(t, a, 1)
	publish(t, b, 1)
	news, wants, _ := a.Diff(b.Digest(), 1<<20)
	if len(news) != 1 || len(wants) != 1 || wants[0] != "b" {
		t.Errorf("%d news, wants %v", len(news), wants)
	}
	b.Apply(delta(t, a))
	a.Apply(delta(t, b))
	if news, wants, _ = a.Diff(b.Digest(), 1<<20); len(news)+len(wants) != 0 {
		t.Errorf("equal stores have %d news, wants %v", len(news), wants)
	}
	if news, _, _ = a.Diff(nil, len(news)); len(news) != 0 {
		t.Errorf("%d frames in a budget for none", len(news))
	}
}

// A node does not send what its peers would cut it off for.
func TestPublishKeepsTheRules(t *testing.T) {
	r := newRealm(t)
	a, b := r.store("a", 0), r.store("b", 0)
	long := strings.Repeat("x", limits.TextBytes+1)
	for name, snapshot := range map[string]health.Snapshot{
		"label":   {Schema: &health.Schema{Families: []health.Family{{Name: "v", Series: []health.Series{{Labels: []health.Label{{Name: "l", Value: long}}}}}}}, Values: []float64{1}},
		"subject": {Schema: &health.Schema{}, Results: []health.Result{{Subject: long}}},
		"reason":  {Schema: &health.Schema{}, Results: []health.Result{{Reason: long}}},
		"series":  {Schema: &health.Schema{Families: []health.Family{{Name: "v", Series: make([]health.Series, limits.Series+1)}}}},
	} {
		if err := a.Publish(snapshot, time.Second); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	publish(t, a, 1)
	if out := b.Apply(delta(t, a)); out.Applied != 1 {
		t.Errorf("a is not heard any more: %+v", out)
	}
}

func TestSchemaIsShared(t *testing.T) {
	r := newRealm(t)
	a, b := r.store("a", 0), r.store("b", 0)
	publish(t, a, 1)
	publish(t, b, 2)
	b.Apply(delta(t, a))
	nodes := b.Nodes()
	if nodes[0].Snapshot.Schema != nodes[1].Snapshot.Schema {
		t.Error("two nodes of one schema hold it twice")
	}
}

// A relay that hands on one untrusted identity after the other is not listened
// to for long.
func TestDistrustIsBounded(t *testing.T) {
	r := newRealm(t)
	b := r.store("b", 0)
	var d Delta
	for i := range 2 * maxDistrusted {
		thief := r.store(fmt.Sprint("thief", i), 0)
		thief.cfg.Self = fmt.Sprint("n", i)
		r.members[thief.cfg.Self] = true
		publish(t, thief, 1)
		one := delta(t, thief)
		d.Frames, d.Blobs = append(d.Frames, one.Frames...), append(d.Blobs, one.Blobs...)
	}
	if out := b.Apply(d); len(out.Refused) != maxDistrusted || out.Refused[0].Reason != ReasonIdentity {
		t.Errorf("%d of %d were judged: %v", len(out.Refused), len(d.Frames), out.Refused[0])
	}
}

// Names that are forgotten are not remembered without end.
func TestTombstonesAreBounded(t *testing.T) {
	r := newRealm(t)
	b := r.store("b", 0)
	for i := range 4 * b.cfg.Nodes {
		n := r.store(fmt.Sprint("n", i), 0)
		publish(t, n, 1)
		if out := b.Apply(delta(t, n)); out.Applied != 1 {
			t.Fatalf("%+v", out)
		}
		b.Forget(n.cfg.Self)
	}
	if len(b.tombstones) > b.cfg.Nodes || len(b.blobs) != 0 {
		t.Errorf("%d forgotten names and %d blobs are held", len(b.tombstones), len(b.blobs))
	}
}
