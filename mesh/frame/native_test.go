package frame

import (
	"crypto/ed25519"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
)

// nativeSnapshot is testSnapshot with histograms that are classic and native,
// native only, and native without an observation.
func nativeSnapshot() health.Snapshot {
	s := testSnapshot()
	b := &s.Schema.Families[1]
	b.Series = append(b.Series,
		health.Series{Labels: []health.Label{{Name: "x", Value: "1"}}, Bounds: []float64{0.005, 1, 10}, Native: &health.Native{
			Schema: -1, ZeroThreshold: 2.938735877055719e-39, Positive: []health.Span{{Offset: -8, Length: 8}},
		}},
		health.Series{Labels: []health.Label{{Name: "x", Value: "2"}}, Native: &health.Native{
			Schema: 3, ZeroThreshold: 0.001, Negative: []health.Span{{Offset: 0, Length: 1}, {Offset: 3, Length: 2}}, Positive: []health.Span{{Offset: 16, Length: 3}},
		}},
		health.Series{Labels: []health.Label{{Name: "x", Value: "3"}}, Native: &health.Native{}},
	)
	values := append([]float64(nil), s.Values[:7]...)
	values = append(values, 3, 5, 5, 1.25, 6, 0, 0, 0, 0, 2, 1, 0, 2, 1) // sum and count stand before the native counts
	values = append(values, -3.5, 20, 4, 1, 0, 7, 5, 0, 3)
	values = append(values, 0, 0, 0)
	s.Values = append(values, s.Values[7:]...)
	return s
}

func signed(t testing.TB, s health.Snapshot, schema *Schema) *Frame {
	t.Helper()
	f := &Frame{
		Node: s.Node, Version: Version{3, 70_000}, Interval: 5 * time.Second, Uptime: time.Hour + time.Millisecond,
		Schema: schema.Hash, Identity: IdentityHash([]byte("identity")),
	}
	f.Sign("grapevine", testContent(t, s, schema), testKey)
	return f
}

func TestNativeRoundTrip(t *testing.T) {
	want := nativeSnapshot()
	schema := testSchema(t, want)
	if schema.Width != len(want.Values) || !schema.Fits(&want) {
		t.Fatalf("width %d for %d values", schema.Width, len(want.Values))
	}
	parsed, err := ParseSchema(schema.Raw, nil, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Schema, parsed.Series); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	odd := []float64{0, math.Copysign(0, -1), 1, -1, 0.5, 1 << 60, 1e300, math.NaN(), math.Inf(1), math.Inf(-1)}
	for i := range 1 + 14*len(odd) { // what a peer may say, too
		s := want
		s.Values = append([]float64(nil), want.Values...)
		if i > 0 {
			s.Values[7+(i-1)/len(odd)] = odd[(i-1)%len(odd)]
		}
		got, err := parse(t, signed(t, s, schema).Raw).Snapshot(parsed, testLimits, now)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.Values, got.Values, cmp.Comparer(sameBits)); diff != "" {
			t.Errorf("values (-want +got):\n%s", diff)
		}
	}
}

// A change of buckets alone is another schema.
func TestFitsNative(t *testing.T) {
	s := nativeSnapshot()
	schema := testSchema(t, s)
	for name, change := range map[string]func(n *health.Native){
		"schema":   func(n *health.Native) { n.Schema++ },
		"zero":     func(n *health.Native) { n.ZeroThreshold = 0.5 },
		"negative": func(n *health.Native) { n.Negative[1].Length++ },
		"positive": func(n *health.Native) { n.Positive[0].Offset++ },
		"a span":   func(n *health.Native) { n.Positive = append(n.Positive, health.Span{Offset: 1, Length: 1}) },
	} {
		other := nativeSnapshot()
		change(other.Schema.Families[1].Series[2].Native)
		if schema.Fits(&other) || testSchema(t, other).Hash == schema.Hash {
			t.Errorf("%s: the same schema", name)
		}
	}
	other := nativeSnapshot()
	other.Schema.Families[1].Series[3].Native = nil
	if schema.Fits(&other) {
		t.Error("a classic histogram passes for a native one")
	}
}

// Who does not know the field of native buckets shows all else as it is.
func TestOlderReadersMissNative(t *testing.T) {
	want, old := nativeSnapshot(), nativeSnapshot()
	var values []float64
	at := 0
	for i := range old.Schema.Families {
		f := &old.Schema.Families[i]
		for j := range f.Series {
			series := &f.Series[j]
			width := series.Width(f.Type)
			values = append(values, want.Values[at:at+width-series.Native.Width()]...)
			series.Native = nil
			at += width
		}
	}
	schema := testSchema(t, want)
	f := signed(t, want, schema)
	got, err := parse(t, f.Raw).Snapshot(testSchema(t, old), testLimits, now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(values, got.Values, cmp.Comparer(sameBits)); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	bare := parse(t, f.WithoutValues().Raw)
	if err := bare.Verify("grapevine", testKey.Public().(ed25519.PublicKey)); err != nil {
		t.Error(err)
	}
	if got, err := bare.Snapshot(schema, testLimits, now); err != nil || got.Values != nil {
		t.Errorf("a bare frame gives %v, %v", got, err)
	}
}

func TestParseSchemaRefusesNative(t *testing.T) {
	field := func(n protowire.Number, text string) []byte { return AppendString(nil, n, text) }
	schema := func(n int64) []byte { return AppendUint(nil, fieldNativeSchema, protowire.EncodeZigZag(n)) }
	spans := func(n, length int) string { return strings.TrimSpace(strings.Repeat(fmt.Sprintf("1 %d ", length), n)) }
	for name, c := range map[string]struct {
		native []byte
		want   string
	}{
		"custom bounds":       {schema(-53), "schema -53"},
		"too fine":            {schema(9), "schema 9"},
		"a schema that wraps": {schema(1 << 32), "schema 4294967296"},
		"zero is NaN":         {field(fieldNativeZero, "NaN"), "zero threshold of NaN"},
		"zero is negative":    {field(fieldNativeZero, "-1"), "zero threshold of -1"},
		"zero is infinite":    {field(fieldNativeZero, "+Inf"), "zero threshold of +Inf"},
		"zero is a word":      {field(fieldNativeZero, "x"), "not a number"},
		"no length":           {field(fieldNativePositive, "0 1 2"), "without a length"},
		"empty":               {field(fieldNativePositive, "0 0"), "out of order"},
		"backwards":           {field(fieldNativeNegative, "0 1 -1 1"), "out of order"},
		"too long":            {field(fieldNativeNegative, "0 4294967295"), "native buckets from"},
		"longer":              {field(fieldNativeNegative, "0 4294967296"), "no such number"},
		"far off":             {field(fieldNativePositive, "-2147483648 1"), "native buckets from"},
		"farther":             {field(fieldNativePositive, "2147483648 1"), "no such number"},
		"many buckets":        {field(fieldNativePositive, spans(2, 400)), "more than 640 native buckets"},
		"many spans":          {field(fieldNativePositive, spans(1000, 1)), "more than 640 spans"},
		"many in both":        {append(field(fieldNativePositive, "1 400"), field(fieldNativeNegative, "1 400")...), "more than 640 native buckets"},
	} {
		t.Run(name, func(t *testing.T) {
			text := nativeText(health.Histogram, c.native)
			if _, err := ParseSchema(wholeBlob(Sum(text), text), nil, testLimits); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
	text := nativeText(health.Gauge, field(fieldNativePositive, "1 1"))
	if _, err := ParseSchema(wholeBlob(Sum(text), text), nil, testLimits); err == nil || !strings.Contains(err.Error(), "native buckets of a gauge") {
		t.Errorf("a gauge: %v", err)
	}
	// A bucket is a series to whoever stores it.
	text = nativeText(health.Histogram, field(fieldNativePositive, "1 600"))
	narrow := testLimits
	narrow.Series = 601
	if _, err := ParseSchema(wholeBlob(Sum(text), text), nil, narrow); err == nil || !strings.Contains(err.Error(), "series and buckets") {
		t.Errorf("buckets beyond the limit: %v", err)
	}
	narrow.Series = 602
	if _, err := ParseSchema(wholeBlob(Sum(text), text), nil, narrow); err != nil {
		t.Error(err)
	}
}

// nativeText is a schema of one series with these native buckets.
func nativeText(kind health.Type, native []byte) []byte {
	family := AppendUint(AppendString(nil, fieldName, "a"), fieldType, uint64(kind))
	family = AppendBytes(family, fieldSeries, AppendBytes(nil, fieldNative, native))
	return AppendBytes(nil, fieldFamily, family)
}

// FuzzCounts reads any bytes as the counts of native buckets; what was read is
// written and read again as the same.
func FuzzCounts(f *testing.F) {
	s := nativeSnapshot()
	schema := testSchema(f, s)
	f.Add(testContent(f, s, schema).counts)
	f.Fuzz(func(t *testing.T, coded []byte) {
		read := func(b []byte) []float64 {
			values := append([]float64(nil), s.Values...)
			r := countCoder{coder: newReader(b)}
			r.counts(schema.Series, values)
			return values
		}
		first := read(coded)
		w := countCoder{coder: newWriter()}
		w.counts(schema.Series, append([]float64(nil), first...))
		for i, v := range read(w.bytes()) {
			if !sameBits(first[i], v) {
				t.Errorf("value %d: %x came back as %x", i, first[i], v)
			}
		}
	})
}
