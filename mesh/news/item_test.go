package news

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func public() ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func slowDisk() Item {
	return Item{
		Node: "cp-1", Version: frame.Version{Epoch: 3, Number: 1234}, Uptime: time.Hour + time.Millisecond,
		Check: "disk", Subject: "/var/lib/etcd", Status: health.Critical, Reason: "fsync takes 1.2 s, 99 of 100",
		Observed: 40 * time.Millisecond, Since: 2 * time.Second,
	}
}

func TestItemComesBack(t *testing.T) {
	t.Parallel()
	item := slowDisk()
	b, err := item.Encode("prod", key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(item, got.Item); diff != "" {
		t.Error(diff)
	}
	made := time.Now()
	want := health.Result{
		Check: "disk", Subject: "/var/lib/etcd", Status: health.Critical, Reason: item.Reason,
		Observed: made.Add(-40 * time.Millisecond), Since: made.Add(-2 * time.Second),
	}
	if diff := cmp.Diff(want, got.Result(made)); diff != "" {
		t.Error(diff)
	}
	if !got.Verify("prod", public()) {
		t.Error("its own signature is not taken")
	}
	if got.Verify("test", public()) {
		t.Error("it means something in another cluster")
	}
	for i := range b {
		forged := bytes.Clone(b)
		forged[i] ^= 1
		if got, err := Decode(forged); err == nil && got.Verify("prod", public()) {
			t.Errorf("byte %d can be changed", i)
		}
	}
}

// However long the texts are, the gossip carries it, or it is not sent.
func TestItemFits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ß漢🙂", 5000)
	for label, tc := range map[string]struct {
		change func(*Item)
		fits   bool
	}{
		"plain":                {func(*Item) {}, true},
		"no reason":            {func(i *Item) { i.Reason = "" }, true},
		"long reason":          {func(i *Item) { i.Reason = long }, true},
		"long reason, shifted": {func(i *Item) { i.Reason = "x" + long }, true},
		"long node name":       {func(i *Item) { i.Node = strings.Repeat("n", 128) }, true},
		"no room for a reason": {func(i *Item) { i.Subject, i.Reason = strings.Repeat("s", 345), long }, true},
		"monstrous subject":    {func(i *Item) { i.Subject = long }, false},
		"monstrous node":       {func(i *Item) { i.Node = long }, false},
		"all the largest": {func(i *Item) {
			i.Version = frame.Version{Epoch: 1<<64 - 1, Number: 1<<64 - 1}
			i.Uptime, i.Observed, i.Since = frame.MaxAge, frame.MaxAge, frame.MaxAge
			i.Node, i.Reason = strings.Repeat("n", 128), long
		}, true},
		"seen in the future": {func(i *Item) { i.Observed, i.Since = -time.Hour, -time.Hour }, true},
	} {
		item := slowDisk()
		tc.change(&item)
		b, err := item.Encode("prod", key)
		if !tc.fits {
			if !errors.Is(err, ErrTooLong) {
				t.Errorf("%s: %v", label, err)
			}
			continue
		}
		if err != nil || len(b) > MaxBytes {
			t.Errorf("%s: %d bytes, %v", label, len(b), err)
			continue
		}
		got, err := Decode(b)
		if err != nil || !got.Verify("prod", public()) {
			t.Errorf("%s: does not come back: %v", label, err)
			continue
		}
		kept := strings.TrimSuffix(got.Reason, "…")
		if got.Subject != item.Subject || got.Node != item.Node || !utf8.ValidString(got.Reason) || !strings.HasPrefix(item.Reason, kept) {
			t.Errorf("%s: came back as %+v", label, got.Item)
		}
		if len(item.Reason) > MaxBytes && got.Reason != "" && len(b) < MaxBytes-8 {
			t.Errorf("%s: the reason was clipped to %d bytes of %d", label, len(b), MaxBytes)
		}
		if got.Observed < 0 || got.Since < 0 {
			t.Errorf("%s: ages %v and %v", label, got.Observed, got.Since)
		}
	}
}

// A later version may say more.
func TestItemOfALaterVersion(t *testing.T) {
	t.Parallel()
	item := slowDisk()
	plain, err := item.Encode("prod", key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Decode(plain)
	if err != nil {
		t.Fatal(err)
	}
	body := protowire.AppendVarint(protowire.AppendTag(bytes.Clone(s.body), 99, protowire.VarintType), 5)
	b := protowire.AppendBytes(protowire.AppendTag(nil, fieldBody, protowire.BytesType), body)
	b = protowire.AppendBytes(protowire.AppendTag(b, fieldSignature, protowire.BytesType), ed25519.Sign(key, message("prod", body)))
	b = protowire.AppendFixed32(protowire.AppendTag(b, 77, protowire.Fixed32Type), 5)
	got, err := Decode(b)
	if err != nil || !got.Verify("prod", public()) || !cmp.Equal(got.Item, item) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for label, change := range map[string]func(*Item){
		"no node":   func(i *Item) { i.Node = "" },
		"no check":  func(i *Item) { i.Check = "" },
		"no epoch":  func(i *Item) { i.Version.Epoch = 0 },
		"no number": func(i *Item) { i.Version.Number = 0 },
		"status":    func(i *Item) { i.Status = 4 },
		"not UTF-8": func(i *Item) { i.Subject = "\xff" },
	} {
		item := slowDisk()
		change(&item)
		b, err := item.Encode("prod", key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(b); err == nil {
			t.Errorf("%s: taken as %+v", label, got.Item)
		}
	}
	if _, err := Decode(make([]byte, MaxBytes+1)); err == nil {
		t.Error("more than the gossip carries is taken")
	}
}

func FuzzDecode(f *testing.F) {
	item := slowDisk()
	b, err := item.Encode("prod", key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Decode(b)
		if err != nil {
			return
		}
		got.Verify("prod", public())
		for _, s := range []string{got.Node, got.Check, got.Subject, got.Reason} {
			if !utf8.ValidString(s) || len(s) > MaxBytes {
				t.Errorf("text %q", s)
			}
		}
		now := time.Now()
		if r := got.Result(now); r.Status > health.Unknown || r.Observed.After(now) || r.Since.After(now) {
			t.Errorf("verdict %+v", r)
		}
		again, err := got.Encode("prod", key)
		if err != nil {
			return // its names leave no room for what it repeats or leaves out
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatalf("%+v is not taken back: %v", got.Item, err)
		}
		if back.Node != got.Node || back.Version != got.Version || back.Check != got.Check || back.Subject != got.Subject || back.Status != got.Status {
			t.Errorf("%+v came back as %+v", got.Item, back.Item)
		}
	})
}
