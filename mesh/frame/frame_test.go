package frame

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"math"
	"slices"
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
			{Name: "d_timestamp_seconds", Type: health.Gauge, Series: []health.Series{
				{Labels: []health.Label{{Name: "x", Value: "1"}}}, {Labels: []health.Label{{Name: "x", Value: "2"}}},
			}},
		}},
		Values: []float64{3, 1e300, 1, 2, 3, 4.25, 3, math.Inf(1), -0.0001, 12, 7, 1.795255345761e+09, 1.7952553643795195e+09},
		Results: []health.Result{
			{Check: "disk", Subject: "/", Status: health.OK, Observed: now, Since: now},
			{Check: "etcd", Subject: "127.0.0.1:2379", Status: health.Critical, Reason: "does not answer",
				Evidence: health.Evidence{Value: 1.5, Threshold: 1, Unit: "seconds"},
				Observed: now.Add(-2 * time.Second), Since: now.Add(-time.Hour)},
			{Check: "etcd", Subject: "members", Status: health.Warning, Reason: "2 of 3 answer",
				Evidence: health.Evidence{Value: 2, Threshold: 3, Unit: "members"},
				Observed: now.Add(-2 * time.Second), Since: now.Add(-time.Minute)},
		},
	}
}

// testSchema is of s, made before its warnings came up.
func testSchema(t testing.TB, s health.Snapshot) *Schema {
	t.Helper()
	results := slices.Clone(s.Results)
	for i := range results {
		if results[i].Status == health.Warning {
			results[i].Reason = ""
		}
	}
	schema, err := NewSchema(s.Schema, results, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func testContent(t testing.TB, s health.Snapshot, schema *Schema) Content {
	t.Helper()
	c, err := NewContent(s, schema, now, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parse(t testing.TB, raw []byte) *Frame {
	t.Helper()
	f, err := Parse(raw, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRoundTrip(t *testing.T) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want := testSnapshot()
	schema := testSchema(t, want)
	sent := Frame{
		Node: want.Node, Version: Version{3, 7}, Interval: 5 * time.Second, Uptime: time.Hour,
		Schema: schema.Hash, Identity: IdentityHash([]byte("id")),
	}
	sent.Sign("prod", testContent(t, want, schema), key)
	f := parse(t, sent.Raw)
	if f.Node != "node-1" || f.Version != (Version{3, 7}) || f.Interval != 5*time.Second || f.Uptime != time.Hour ||
		f.Schema != schema.Hash || f.Identity != sent.Identity || f.Format != Format || f.Bare {
		t.Errorf("the head came back as %+v", f)
	}
	parsed, err := ParseSchema(schema.Raw, nil, testLimits)
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
	if other, _, _ := ed25519.GenerateKey(rand.Reader); f.Verify("prod", other) == nil {
		t.Error("a frame passes under another key")
	}
	for _, raw := range [][]byte{sent.Raw, f.WithoutValues().Raw} {
		for i := range raw {
			forged := bytes.Clone(raw)
			forged[i] ^= 1
			g, err := Parse(forged, testLimits)
			if err == nil && g.Verify("prod", public) == nil && (!bytes.Equal(g.body, f.body) || g.valuesHash != f.valuesHash) {
				t.Fatalf("a frame with byte %d changed passes", i)
			}
		}
	}
}

// A relay leaves the values out, and the verdicts still prove whose they are.
func TestBareFrame(t *testing.T) {
	public, key, _ := ed25519.GenerateKey(rand.Reader)
	want := testSnapshot()
	schema := testSchema(t, want)
	sent := Frame{Node: want.Node, Version: Version{3, 7}, Interval: 5 * time.Second, Schema: schema.Hash}
	sent.Sign("prod", testContent(t, want, schema), key)
	bare := parse(t, parse(t, sent.Raw).WithoutValues().Raw)
	if !bare.Bare || len(bare.Raw) >= len(sent.Raw) {
		t.Errorf("the bare frame has %d bytes, the full one %d", len(bare.Raw), len(sent.Raw))
	}
	if err := bare.Verify("prod", public); err != nil {
		t.Error(err)
	}
	if again := bare.WithoutValues(); again != bare {
		t.Error("a bare frame is bared again")
	}
	want.Schema, want.Values = nil, nil
	got, err := bare.Snapshot(schema, testLimits, now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("the verdicts changed on the way (-sent +received):\n%s", diff)
	}
	both := AppendBytes(bytes.Clone(sent.Raw), fieldValuesHash, bare.valuesHash[:])
	if _, err := Parse(both, testLimits); err == nil {
		t.Error("a frame with values and another hash of them passes")
	}
}

// Ages are rounded, and never down: nothing may look fresher than it is.
func TestAgesNeverShrink(t *testing.T) {
	s := testSnapshot()
	for i := range s.Results {
		s.Results[i].Observed = now.Add(-1234567 * time.Microsecond * time.Duration(i))
		s.Results[i].Since = now.Add(-98765432 * time.Microsecond * time.Duration(i+1))
	}
	s.Results[0].Observed = now.Add(time.Hour)               // the clock was set back meanwhile
	s.Results[1].Since = now.Add(-20 * 24 * 365 * time.Hour) // or was wrong
	schema := testSchema(t, s)
	f := Frame{Node: "n", Version: Version{1, 1}, Interval: time.Second}
	f.Sign("c", testContent(t, s, schema), testKey)
	got, err := parse(t, f.Raw).Snapshot(schema, testLimits, now)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range got.Results {
		observed, since := s.Results[i].Observed, s.Results[i].Since
		switch i {
		case 0:
			observed = now
		case 1:
			since = now.Add(-MaxAge)
		}
		if r.Observed.After(observed) || observed.Sub(r.Observed) >= observedUnit {
			t.Errorf("observed %v came back as %v", observed, r.Observed)
		}
		if r.Since.After(since) || since.Sub(r.Since) >= sinceUnit {
			t.Errorf("since %v came back as %v", since, r.Since)
		}
	}
}

var testKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// A check that holds its subject against another limit as things get worse
// does so without a new schema.
func TestVerdictsOutgrowTheirSchema(t *testing.T) {
	before := testSnapshot()
	schema := testSchema(t, before)
	worse := testSnapshot()
	worse.Results[0].Evidence = health.Evidence{Value: math.Inf(1), Threshold: 0.1, Unit: "seconds"}
	worse.Results[1].Evidence = health.Evidence{Value: 7, Threshold: 5, Unit: "seconds"}
	worse.Results[2].Evidence = health.Evidence{}
	if !schema.Fits(&worse) {
		t.Fatal("the schema does not fit")
	}
	f := Frame{Node: "node-1", Version: Version{1, 1}, Interval: time.Second}
	f.Sign("c", testContent(t, worse, schema), testKey)
	got, err := parse(t, f.Raw).Snapshot(schema, testLimits, now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&worse, got); diff != "" {
		t.Errorf("(-sent +received):\n%s", diff)
	}
	for name, change := range map[string]func(*health.Snapshot){
		"version": func(s *health.Snapshot) { s.Schema.Version = "2" },
		"label":   func(s *health.Snapshot) { s.Schema.Families[0].Series[1].Labels[0].Value = "y" },
		"bound":   func(s *health.Snapshot) { s.Schema.Families[1].Series[0].Bounds[0] = 0.006 },
		"help":    func(s *health.Snapshot) { s.Schema.Families[2].Help = "" },
		"type":    func(s *health.Snapshot) { s.Schema.Families[3].Type = health.Counter },
		"subject": func(s *health.Snapshot) { s.Results[0].Subject = "/var" },
		"fewer":   func(s *health.Snapshot) { s.Results = s.Results[:2] },
	} {
		changed := testSnapshot()
		if change(&changed); schema.Fits(&changed) {
			t.Errorf("the schema still fits with another %s", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
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
		f.Sign("c", Content{}, testKey)
		if _, err := Parse(f.Raw, testLimits); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	if _, err := Parse(nil, testLimits); err == nil {
		t.Error("an empty frame passes")
	}
}

// What a node says and its schema does not fit is refused, not misread.
func TestSnapshotRefuses(t *testing.T) {
	s := testSnapshot()
	schema := testSchema(t, s)
	fewer := testSnapshot()
	fewer.Schema.Families, fewer.Results = fewer.Schema.Families[:1], fewer.Results[:1]
	f := Frame{Node: "node-1", Version: Version{1, 1}, Interval: time.Second}
	f.Sign("c", testContent(t, s, schema), testKey)
	if _, err := parse(t, f.Raw).Snapshot(testSchema(t, fewer), testLimits, now); err == nil {
		t.Error("a frame of more than its schema passes")
	}
	content := testContent(t, s, schema)
	content.texts = nil
	f.Sign("c", content, testKey)
	if _, err := parse(t, f.Raw).Snapshot(schema, testLimits, now); err == nil || !strings.Contains(err.Error(), "a text is missing") {
		t.Errorf("a frame without its reasons: %v", err)
	}
	s.Results[1].Reason = strings.Repeat("r", testLimits.TextBytes+1)
	if _, err := NewContent(s, schema, now, testLimits); err == nil {
		t.Error("a node says what its peers refuse")
	}
	s = testSnapshot()
	s.Values = s.Values[1:]
	if _, err := NewContent(s, schema, now, testLimits); err == nil {
		t.Error("a snapshot that lacks a value passes")
	}
}
