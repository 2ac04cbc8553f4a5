package frame

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
)

var testLimits = Limits{FrameBytes: 1 << 20, SchemaBytes: 1 << 20, Series: 1000, Results: 100, TextBytes: 1000}

var now = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

func testSnapshot() health.Snapshot {
	return health.Snapshot{
		Node: "node-1",
		Schema: &health.Schema{Version: "1.2.3", Families: []health.Family{
			{Name: "a_total", Help: "A \"count\"\nof two lines.", Type: health.Counter, Series: []health.Series{
				{}, {Labels: []health.Label{{Name: "x", Value: "ä\\\n"}}},
			}},
			{Name: "b_seconds", Type: health.Histogram, Series: []health.Series{{Bounds: []float64{0.005, 1, 10}}}},
			{Name: "c", Help: "Quantiles.", Type: health.Summary, Series: []health.Series{{Bounds: []float64{0.5, 0.99}}}},
		}},
		Values: []float64{3, 1e300, 1, 2, 3, 4.25, 3, math.Inf(1), -0.0001, 12, 7},
		Results: []health.Result{
			{Check: "etcd", Subject: "127.0.0.1:2379", Status: health.Critical, Reason: "does not answer",
				Evidence: health.Evidence{Value: 1.5, Threshold: 1, Unit: "seconds"},
				Observed: now.Add(-2 * time.Second), Since: now.Add(-time.Hour)},
			{Check: "disk", Subject: "/", Status: health.OK, Observed: now, Since: now},
		},
	}
}

func TestRoundTrip(t *testing.T) {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := testSnapshot()
	schema := NewSchema(want.Schema, want.Results)
	payload := EncodePayload(want, now)
	sent := Frame{Node: want.Node, Version: Version{3, 7}, Interval: 5 * time.Second, Schema: schema.Hash, Identity: Sum([]byte("id"))}
	sent.Sign("prod", payload, key)
	f, err := Parse(sent.Raw, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	if f.Node != "node-1" || f.Version != (Version{3, 7}) || f.Interval != 5*time.Second || f.Schema != schema.Hash || f.Identity != sent.Identity {
		t.Errorf("the head came back as %+v", f)
	}
	parsed, err := ParseSchema(schema.Raw, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Hash != schema.Hash {
		t.Error("the schema's hash changed on the way")
	}
	got, err := f.Snapshot(parsed, testLimits, now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("the snapshot changed on the way (-sent +received):\n%s", diff)
	}

	if err := f.Verify("prod", public); err != nil {
		t.Error(err)
	}
	if f.Verify("staging", public) == nil {
		t.Error("a frame of one cluster passes in another")
	}
	if f.Verify("prod", other) == nil {
		t.Error("a frame passes under another key")
	}
	for i := range sent.Raw {
		forged := append([]byte(nil), sent.Raw...)
		forged[i] ^= 1
		g, err := Parse(forged, testLimits)
		if err == nil && g.Verify("prod", public) == nil && !bytes.Equal(g.Raw, f.Raw) && string(g.body) != string(f.body) {
			t.Fatalf("a frame with byte %d changed passes", i)
		}
	}
}

func TestNumbersRoundTrip(t *testing.T) {
	for _, f := range []float64{
		0, math.Copysign(0, -1), 1, -1, 100, 0.1, 0.005, 1.7976931348623157e308, 5e-324, -2.5e-7, 1e15, 1e22, 1e23,
		123456789012345678, 9007199254740993, 1763696752.123, math.Inf(1), math.Inf(-1), math.Pi, 1.0 / 3,
	} {
		b := appendNumber(nil, f)
		got, n, err := consumeNumber(b)
		if err != nil || n != len(b) || math.Float64bits(got) != math.Float64bits(f) {
			t.Errorf("%v came back as %v (%d of %d bytes, %v)", f, got, n, len(b), err)
		}
	}
	if got, _, _ := consumeNumber(appendNumber(nil, math.NaN())); got == got {
		t.Errorf("NaN came back as %v", got)
	}
	for f, want := range map[float64]int{0: 1, 7: 1, 1000: 2, 0.5: 2, 1e9: 2} {
		if got := len(appendNumber(nil, f)); got > want {
			t.Errorf("%v takes %d bytes, want at most %d", f, got, want)
		}
	}
}

func FuzzNumbers(f *testing.F) {
	f.Add(uint64(0x3ff8000000000000))
	f.Fuzz(func(t *testing.T, bits uint64) {
		want := math.Float64frombits(bits)
		got, _, err := consumeNumber(appendNumber(nil, want))
		if err != nil || got != want && want == want {
			t.Errorf("%v came back as %v, %v", want, got, err)
		}
	})
}

func TestParseSchemaRefuses(t *testing.T) {
	family := func(f health.Family) *health.Schema { return &health.Schema{Families: []health.Family{f}} }
	label := func(name, value string) []health.Series {
		return []health.Series{{Labels: []health.Label{{Name: name, Value: value}}}}
	}
	for name, c := range map[string]struct {
		schema *health.Schema
		want   string
	}{
		"name":          {family(health.Family{Name: "a b"}), "cannot be shown"},
		"no name":       {family(health.Family{}), "cannot be shown"},
		"label name":    {family(health.Family{Name: "a", Series: label("x-y", "")}), "label name"},
		"label node":    {family(health.Family{Name: "a", Series: label("node", "other")}), "label name"},
		"label twice":   {family(health.Family{Name: "a", Series: []health.Series{{Labels: []health.Label{{Name: "x"}, {Name: "x"}}}}}), "labels out of order"},
		"series twice":  {family(health.Family{Name: "a", Series: make([]health.Series, 2)}), "series out of order"},
		"family twice":  {&health.Schema{Families: []health.Family{{Name: "a"}, {Name: "a"}}}, "out of order"},
		"long value":    {family(health.Family{Name: "a", Series: label("x", strings.Repeat("v", 1001))}), "text of 1001 bytes"},
		"not UTF-8":     {family(health.Family{Name: "a", Series: label("x", "\xff")}), "not UTF-8"},
		"unknown type":  {family(health.Family{Name: "a", Type: 9}), "unknown type"},
		"many series":   {family(health.Family{Name: "a", Series: numbered(1001)}), "more than 1000 series"},
		"many buckets":  {family(health.Family{Name: "a", Type: health.Histogram, Series: []health.Series{{Bounds: make([]float64, 1000)}}}), "series and buckets"},
		"help too long": {family(health.Family{Name: "a", Help: strings.Repeat("h", 1001)}), "text of 1001 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSchema(NewSchema(c.schema, nil).Raw, testLimits)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
	bomb := compress(make([]byte, maxInflated+1))
	if _, err := ParseSchema(bomb, testLimits); err == nil {
		t.Errorf("%d bytes that inflate to %d pass", len(bomb), maxInflated+1)
	}
}

func numbered(n int) []health.Series {
	series := make([]health.Series, n)
	for i := range series {
		series[i].Labels = []health.Label{{Name: "i", Value: fmt.Sprintf("%06d", i)}}
	}
	return series
}

func TestParseRefuses(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	good := Frame{Node: "n", Version: Version{1, 1}, Interval: time.Second}
	for name, change := range map[string]func(*Frame){
		"no name":   func(f *Frame) { f.Node = "" },
		"long name": func(f *Frame) { f.Node = strings.Repeat("n", 256) },
		"no epoch":  func(f *Frame) { f.Version.Epoch = 0 },
		"no pace":   func(f *Frame) { f.Interval = 0 },
		"slow pace": func(f *Frame) { f.Interval = time.Hour },
		"too large": func(f *Frame) { f.Node = strings.Repeat("n", testLimits.FrameBytes) },
	} {
		f := good
		change(&f)
		f.Sign("c", nil, key)
		if _, err := Parse(f.Raw, testLimits); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	if _, err := Parse(nil, testLimits); err == nil {
		t.Error("an empty frame passes")
	}
}

func FuzzParse(f *testing.F) {
	s := testSnapshot()
	schema := NewSchema(s.Schema, s.Results)
	_, key, _ := ed25519.GenerateKey(nil)
	sent := Frame{Node: "n", Version: Version{1, 1}, Interval: time.Second, Schema: schema.Hash}
	sent.Sign("c", EncodePayload(s, now), key)
	f.Add(sent.Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := Parse(raw, testLimits)
		if err != nil {
			return
		}
		if got, err := frame.Snapshot(schema, testLimits, now); err == nil && len(got.Values) != schema.Series.Width() {
			t.Errorf("%d values for a width of %d", len(got.Values), schema.Series.Width())
		}
	})
}

func FuzzParseSchema(f *testing.F) {
	s := testSnapshot()
	f.Add(NewSchema(s.Schema, s.Results).Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		schema, err := ParseSchema(raw, testLimits)
		if err == nil && schema.Series.Series() > testLimits.Series {
			t.Errorf("%d series", schema.Series.Series())
		}
	})
}
