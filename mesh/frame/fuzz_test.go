package frame

import (
	"bytes"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// What comes from a peer is read without panic, in bounds, whatever it is.
// Seeds found by fuzzing are kept in testdata/fuzz.

func fuzzFrame(f *testing.F) (*Schema, *Frame) {
	s := testSnapshot()
	schema := testSchema(f, s)
	sent := &Frame{Node: "n", Version: Version{1, 1}, Interval: time.Second, Schema: schema.Hash}
	sent.Sign("c", testContent(f, s, schema), testKey)
	return schema, sent
}

func FuzzFrame(f *testing.F) {
	schema, sent := fuzzFrame(f)
	f.Add(sent.Raw)
	f.Add(sent.WithoutValues().Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := Parse(raw, testLimits)
		if err != nil {
			return
		}
		if bare, err := Parse(frame.WithoutValues().Raw, testLimits); err != nil || bare.valuesHash != frame.valuesHash || !bytes.Equal(bare.body, frame.body) {
			t.Errorf("its bare form is another frame: %v", err)
		}
		got, err := frame.Snapshot(schema, testLimits, now)
		if err != nil {
			return
		}
		if !frame.Bare && len(got.Values) != schema.Width || len(got.Results) != len(schema.Subjects) {
			t.Errorf("%d values and %d verdicts for a schema of %d and %d", len(got.Values), len(got.Results), schema.Width, len(schema.Subjects))
		}
		for _, r := range got.Results {
			if r.Status > health.Unknown || len(r.Reason) > testLimits.TextBytes || r.Observed.After(now) || r.Since.After(now) ||
				now.Sub(r.Observed) > MaxAge || now.Sub(r.Since) > MaxAge {
				t.Errorf("verdict out of bounds: %+v", r)
			}
		}
	})
}

// FuzzVerdicts reads any bytes as verdicts; what was read is written and read
// again as the same.
func FuzzVerdicts(f *testing.F) {
	schema, sent := fuzzFrame(f)
	f.Add(sent.verdicts, "does not answer", "2 of 3 answer")
	f.Fuzz(func(t *testing.T, coded []byte, one, two string) {
		frame := Frame{Bare: true, verdicts: coded, texts: [][]byte{[]byte(one), []byte(two)}}
		first, err := frame.Snapshot(schema, testLimits, now)
		if err != nil {
			return
		}
		v := verdictCoder{coder: newWriter(), limit: testLimits.TextBytes}
		if err := v.verdicts(schema.Subjects, append([]health.Result(nil), first.Results...), now); err != nil {
			t.Fatal(err)
		}
		again := Frame{Bare: true, verdicts: v.bytes()}
		for _, text := range v.texts {
			again.texts = append(again.texts, []byte(text))
		}
		second, err := again.Snapshot(schema, testLimits, now)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range first.Results {
			b := second.Results[i]
			if a.Status != b.Status || a.Reason != b.Reason || !a.Observed.Equal(b.Observed) || !a.Since.Equal(b.Since) ||
				a.Evidence.Unit != b.Evidence.Unit || !sameBits(a.Evidence.Threshold, b.Evidence.Threshold) || !sameBits(a.Evidence.Value, b.Evidence.Value) {
				t.Errorf("%+v came back as %+v", a, b)
			}
		}
	})
}

// FuzzValues reads any bytes as values; what was read is written and read
// again as the same.
func FuzzValues(f *testing.F) {
	schema, sent := fuzzFrame(f)
	f.Add(sent.values)
	f.Fuzz(func(t *testing.T, coded []byte) {
		read := func(b []byte) []float64 {
			values := make([]float64, schema.Width)
			r := newValueCoder(newReader(b))
			r.values(schema.Series, values)
			return values
		}
		first := read(coded)
		w := newValueCoder(newWriter())
		w.values(schema.Series, append([]float64(nil), first...))
		for i, v := range read(w.bytes()) {
			if !sameBits(first[i], v) {
				t.Errorf("value %d: %x came back as %x", i, first[i], v)
			}
		}
	})
}

func FuzzSchema(f *testing.F) {
	s := testSnapshot()
	schema := testSchema(f, s)
	f.Add(schema.Raw)
	f.Fuzz(func(t *testing.T, raw []byte) { readsSchema(t, raw, nil) })
}

// FuzzSchemaText reads any bytes as a schema that has been inflated.
func FuzzSchemaText(f *testing.F) {
	s := testSnapshot()
	f.Add(encodeSchema(s.Schema, s.Results))
	f.Add(encodeSchema(nativeSnapshot().Schema, nil))
	f.Fuzz(func(t *testing.T, text []byte) { readsSchema(t, wholeBlob(Sum(text), text), nil) })
}

func FuzzPatch(f *testing.F) {
	s := testSnapshot()
	base := testSchema(f, s)
	s.Results = s.Results[:1]
	patch, err := testSchema(f, s).Patch(base)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(patch)
	f.Fuzz(func(t *testing.T, raw []byte) { readsSchema(t, raw, base) })
}

func readsSchema(t *testing.T, raw []byte, base *Schema) {
	schema, err := ParseSchema(raw, base, testLimits)
	if err != nil {
		return
	}
	if schema.Series.Series() > testLimits.Series || len(schema.Subjects) > testLimits.Results {
		t.Errorf("%d series, %d subjects", schema.Series.Series(), len(schema.Subjects))
	}
	for _, f := range schema.Series.Families {
		for _, s := range f.Series {
			if s.Native != nil && (s.Native.Check() != nil || !schema.native) {
				t.Errorf("%s: native buckets %+v, %v", f.Name, s.Native, s.Native.Check())
			}
		}
	}
	again, err := ParseSchema(schema.Raw, nil, testLimits)
	if err != nil || again.Hash != schema.Hash {
		t.Errorf("the schema is not what others would get: %v", err)
	}
}

// FuzzText reads any bytes as a compressed text with a base.
func FuzzText(f *testing.F) {
	f.Add([]byte("abcdefgh"), writeText([]byte("abcdefgh"), []byte("abcdXefgh")))
	f.Add([]byte(nil), writeText(nil, bytes.Repeat([]byte("abc"), 20)))
	f.Fuzz(func(t *testing.T, base, coded []byte) {
		const limit = 10_000
		text, err := readText(base, coded, limit)
		if err != nil {
			return
		}
		if len(text) > limit {
			t.Errorf("%d bytes", len(text))
		}
		if again, err := readText(base, writeText(base, text), limit); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q came back as %q, %v", text, again, err)
		}
	})
}
