package frame

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"

	"github.com/grapevine-mesh/grapevine/health"
)

// BenchmarkRecorded measures one frame of what was recorded beside the other
// forms it could travel in: bytes, and the time to make and to read them.
//
//	go test ./mesh/frame -run '^$' -bench Recorded -benchmem
func BenchmarkRecorded(b *testing.B) {
	r := recorded(b)
	s, made := r.snapshot(b, len(r.Snapshots)-1)
	schema, err := NewSchema(s.Schema, s.Results, testLimits)
	if err != nil {
		b.Fatal(err)
	}
	f := r.frame(b, schema, s, made)
	public := testKey.Public().(ed25519.PublicKey)
	text, proto := exposition(b, s)
	measure := func(name string, bytes int, do func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(bytes), "bytes")
		})
	}
	measure("frame/encode", len(f.Raw), func() error {
		_, err := NewContent(s, schema, made, testLimits)
		return err
	})
	content, _ := NewContent(s, schema, made, testLimits)
	measure("frame/sign", len(f.Raw), func() error { f.Sign("grapevine", content, testKey); return nil })
	measure("frame/parse", len(f.Raw), func() error { _, err := Parse(f.Raw, testLimits); return err })
	measure("frame/verify", len(f.Raw), func() error { return f.Verify("grapevine", public) })
	measure("frame/decode", len(f.Raw), func() error { _, err := f.Snapshot(schema, testLimits, made); return err })
	bare := f.WithoutValues()
	measure("bare/decode", len(bare.Raw), func() error { _, err := bare.Snapshot(schema, testLimits, made); return err })
	measure("text/encode", len(text), func() error { exposition(b, s); return nil }) // protobuf too
	measure("text_gzip/encode", len(gzipped(text)), func() error { gzipped(text); return nil })
	measure("protobuf_zstd/encode", len(zstded(proto)), func() error { zstded(proto); return nil })

	measure("schema/encode", len(schema.Raw), func() error { _, err := NewSchema(s.Schema, s.Results, testLimits); return err })
	measure("schema/decode", len(schema.Raw), func() error { _, err := ParseSchema(schema.Raw, nil, testLimits); return err })
	measure("schema/fits", len(schema.Raw), func() error {
		if !schema.Fits(&s) {
			return fmt.Errorf("it does not fit")
		}
		return nil
	})
	whole := encodeSchema(s.Schema, s.Results)
	measure("schema_zstd/encode", len(zstded(whole)), func() error { zstded(whole); return nil })
	for name, change := range map[string]func(*health.Schema){"one_series": addSeries, "one_device": addDevice} {
		changed := cloneSchema(s.Schema)
		change(changed)
		next, err := NewSchema(changed, s.Results, testLimits)
		if err != nil {
			b.Fatal(err)
		}
		patch, err := next.Patch(schema)
		if err != nil {
			b.Fatal(err)
		}
		measure("patch_"+name+"/encode", len(patch), func() error { _, err := next.Patch(schema); return err })
		measure("patch_"+name+"/decode", len(patch), func() error { _, err := ParseSchema(patch, schema, testLimits); return err })
	}
}

func cloneSchema(s *health.Schema) *health.Schema {
	c := &health.Schema{Version: s.Version}
	for _, f := range s.Families {
		f.Series = append([]health.Series(nil), f.Series...)
		for i := range f.Series {
			f.Series[i].Labels = append([]health.Label(nil), f.Series[i].Labels...)
		}
		c.Families = append(c.Families, f)
	}
	return c
}

// addSeries is what one more verdict of a check that runs already adds.
func addSeries(s *health.Schema) {
	for i := range s.Families {
		if f := &s.Families[i]; f.Name == "grapevine_check_status" {
			f.Series = append(f.Series, health.Series{Labels: []health.Label{{Name: "check", Value: "system"}, {Name: "subject", Value: "threads"}}})
		}
	}
}

// addDevice adds a second disk beside each series of the first.
func addDevice(s *health.Schema) {
	for i := range s.Families {
		f := &s.Families[i]
		for _, series := range f.Series {
			for j, l := range series.Labels {
				if l.Name != "device" {
					continue
				}
				more := series
				more.Labels = append([]health.Label(nil), series.Labels...)
				more.Labels[j].Value += "2"
				f.Series = append(f.Series, more)
			}
		}
		sortSeries(f)
	}
}

func sortSeries(f *health.Family) {
	slices.SortFunc(f.Series, func(a, b health.Series) int { return health.CompareLabels(a.Labels, b.Labels) })
}
