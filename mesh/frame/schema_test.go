package frame

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
)

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
		"many in all":   {&health.Schema{Families: []health.Family{{Name: "a", Series: numbered(600)}, {Name: "b", Series: numbered(600)}}}, "more than 1000 series"},
		"many buckets":  {family(health.Family{Name: "a", Type: health.Histogram, Series: []health.Series{{Bounds: make([]float64, 1000)}}}), "series and buckets"},
		"help too long": {family(health.Family{Name: "a", Help: strings.Repeat("h", 1001)}), "text of 1001 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			text := encodeSchema(c.schema, nil)
			_, err := ParseSchema(wholeBlob(Sum(text), text), nil, testLimits)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
			if _, err := NewSchema(c.schema, nil, testLimits); err == nil {
				t.Error("a node may say it")
			}
		})
	}
	bomb := make([]byte, maxGrowth*testLimits.SchemaBytes+1)
	if _, err := ParseSchema(wholeBlob(Sum(bomb), bomb), nil, testLimits); err == nil || !strings.Contains(err.Error(), "allowed are") {
		t.Errorf("a bomb: %v", err)
	}
	if _, err := ParseSchema(wholeBlob(Sum([]byte("another")), []byte("text")), nil, testLimits); err == nil {
		t.Error("a schema under another's hash passes")
	}
}

// A family found among those in use keeps to the limits of who finds it.
func TestSharedFamilyKeepsLimits(t *testing.T) {
	s := &health.Schema{Families: []health.Family{{Name: "shared", Help: strings.Repeat("h", 500), Series: numbered(500)}}}
	held, err := NewSchema(s, nil, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	narrow := testLimits
	narrow.TextBytes = 100
	if _, err := ParseSchema(held.Raw, nil, narrow); err == nil {
		t.Error("a text beyond the limit passes")
	}
	narrow = testLimits
	narrow.Series = 100
	if _, err := ParseSchema(held.Raw, nil, narrow); err == nil {
		t.Error("series beyond the limit pass")
	}
	runtime.KeepAlive(held)
}

func numbered(n int) []health.Series {
	series := make([]health.Series, n)
	for i := range series {
		series[i].Labels = []health.Label{{Name: "i", Value: fmt.Sprintf("%06d", i)}}
	}
	return series
}

func TestPatch(t *testing.T) {
	before := testSnapshot()
	after := testSnapshot()
	after.Schema.Families[0].Series = append(after.Schema.Families[0].Series, health.Series{Labels: []health.Label{{Name: "x", Value: "ö"}}})
	after.Results = append(after.Results, health.Result{Check: "pods", Subject: "a"})
	base, want := testSchema(t, before), testSchema(t, after)
	patch, err := want.Patch(base)
	if err != nil {
		t.Fatal(err)
	}
	head, err := ParseBlob(patch)
	if err != nil || head.Base != base.Hash || head.Hash != want.Hash || BlobHash(patch) != want.Hash {
		t.Errorf("the head of the change: %+v, %v", head, err)
	}
	got, err := ParseSchema(patch, base, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	if got.Hash != want.Hash || !bytes.Equal(got.Raw, want.Raw) || !got.Fits(&after) {
		t.Error("the change gives another schema")
	}
	if diff := cmp.Diff(want.Subjects, got.Subjects); diff != "" {
		t.Error(diff)
	}
	if len(patch)*3 > len(want.Raw) {
		t.Errorf("the change takes %d bytes, the whole %d", len(patch), len(want.Raw))
	}
	for name, base := range map[string]*Schema{"no base": nil, "another base": want} {
		if _, err := ParseSchema(patch, base, testLimits); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

func TestTextRoundTrip(t *testing.T) {
	long := bytes.Repeat([]byte("etcd member 10.0.0.1:2379 "), 100)
	for _, base := range []string{"", "a", "abcdefgh", string(long)} {
		for _, text := range []string{"", "a", "aaaaaaaaaaaaaaaaaaaaaa", "abcdXefgh", "Xabcdefgh", "\x00\x00\x00", string(long), string(long[13:]) + "end"} {
			coded := writeText([]byte(base), []byte(text))
			got, err := readText([]byte(base), coded, len(text))
			if err != nil || string(got) != text {
				t.Errorf("%.20q on %.20q came back as %.20q, %v", text, base, got, err)
			}
			if text != "" {
				if _, err := readText([]byte(base), coded, len(text)-1); err == nil {
					t.Error("more than allowed passes")
				}
			}
		}
	}
}

// Nodes whose schemas differ in some label values share all that does not.
func TestSchemasShareMemory(t *testing.T) {
	s := recorded(t)
	one := func(i int) *Schema {
		schema := cloneSchema(s.Schema)
		for j := range schema.Families { // as if each node had devices of its own
			for _, series := range schema.Families[j].Series {
				for l := range series.Labels {
					if series.Labels[l].Name == "device" {
						series.Labels[l].Value = fmt.Sprintf("device-of-node-%d", i)
					}
				}
			}
		}
		parsed, err := NewSchema(schema, s.Snapshots[0].Results, testLimits)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	const nodes = 200
	held := []*Schema{one(0)}
	before := heap()
	for i := range nodes {
		held = append(held, one(i+1))
	}
	each := (heap() - before) / nodes
	t.Logf("schema_bytes_each=%d coded=%d series=%d families=%d", each, len(held[1].Raw), s.Schema.Series(), len(s.Schema.Families))
	if each > 25_000 {
		t.Errorf("another node's schema takes %d bytes", each)
	}
	a, b := held[1].Series.Families[0], held[2].Series.Families[0]
	if &a.Series[0] != &b.Series[0] {
		t.Error("two nodes hold the same family twice")
	}
	runtime.KeepAlive(held)
}

func heap() int {
	runtime.GC()
	runtime.GC() // what has a cleanup goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
