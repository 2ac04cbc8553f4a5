package frame

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/klauspost/compress/zstd"

	"github.com/grapevine-mesh/grapevine/health"
)

// recording is what a living agent beside a real etcd said: see TestRecord in
// test/e2e, which made it.
type recording struct {
	Schema    *health.Schema
	Snapshots []struct {
		Made    time.Time
		Values  []string
		Results []health.Result
	}
}

const recordedFile = "testdata/recorded.json.gz"

func recorded(t testing.TB) recording {
	t.Helper()
	b, err := os.ReadFile(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.NewDecoder(z).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// snapshot is the i-th, and when it was made.
func (r *recording) snapshot(t testing.TB, i int) (health.Snapshot, time.Time) {
	t.Helper()
	at := r.Snapshots[i]
	s := health.Snapshot{Node: "node-1", Schema: r.Schema, Results: at.Results}
	for _, text := range at.Values {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		s.Values = append(s.Values, v)
	}
	return s, at.Made
}

// frame is s as the node would send it after some days.
func (r *recording) frame(t testing.TB, schema *Schema, s health.Snapshot, made time.Time) *Frame {
	t.Helper()
	content, err := NewContent(s, schema, made, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	f := &Frame{
		Node: s.Node, Version: Version{17, 100_000}, Interval: 5 * time.Second, Uptime: 50 * time.Hour,
		Schema: schema.Hash, Identity: IdentityHash([]byte("id")),
	}
	f.Sign("grapevine", content, testKey)
	return f
}

// TestRecordedFrames holds what is paid for each node at each node.
func TestRecordedFrames(t *testing.T) {
	r := recorded(t)
	first, _ := r.snapshot(t, 0)
	schema, err := NewSchema(r.Schema, first.Results, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	before := first
	for i := range r.Snapshots {
		s, made := r.snapshot(t, i)
		f := r.frame(t, schema, s, made)
		changed := 0
		for j := range s.Values {
			if !sameBits(s.Values[j], before.Values[j]) {
				changed++
			}
		}
		before = s
		text, proto := exposition(t, s)
		t.Logf("frame=%d bare=%d body=%d values=%d text=%d text_gzip=%d protobuf_zstd=%d changed=%.2f", len(f.Raw), len(f.WithoutValues().Raw),
			len(f.body), len(f.values), len(text), len(gzipped(text)), len(zstded(proto)), float64(changed)/float64(len(s.Values)))
		if len(f.Raw) > 450 {
			t.Errorf("a frame of %d bytes", len(f.Raw))
		}
		got, err := parse(t, f.Raw).Snapshot(schema, testLimits, made)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.Values, got.Values, cmp.Comparer(sameBits)); diff != "" {
			t.Error(diff)
		}
		for j := range got.Results {
			got.Results[j].Observed, got.Results[j].Since = s.Results[j].Observed, s.Results[j].Since
		}
		if diff := cmp.Diff(s.Results, got.Results); diff != "" {
			t.Error(diff)
		}
	}
	t.Logf("series=%d values=%d verdicts=%d schema=%d schema_zstd=%d", r.Schema.Series(), schema.Width, len(schema.Subjects),
		len(schema.Raw), len(zstded(encodeSchema(r.Schema, first.Results))))
}

// families is s as client_golang has it.
func metricFamilies(s health.Snapshot) (out []*dto.MetricFamily) {
	values := s.Values
	take := func() *float64 { v := values[0]; values = values[1:]; return &v }
	for _, f := range s.Schema.Families {
		kind := map[health.Type]dto.MetricType{
			health.Untyped: dto.MetricType_UNTYPED, health.Counter: dto.MetricType_COUNTER, health.Gauge: dto.MetricType_GAUGE,
			health.Summary: dto.MetricType_SUMMARY, health.Histogram: dto.MetricType_HISTOGRAM,
		}[f.Type]
		mf := &dto.MetricFamily{Name: &f.Name, Help: &f.Help, Type: &kind}
		for _, series := range f.Series {
			m := &dto.Metric{}
			for _, l := range series.Labels {
				m.Label = append(m.Label, &dto.LabelPair{Name: &l.Name, Value: &l.Value})
			}
			switch f.Type {
			case health.Counter:
				m.Counter = &dto.Counter{Value: take()}
			case health.Gauge:
				m.Gauge = &dto.Gauge{Value: take()}
			case health.Summary:
				m.Summary = &dto.Summary{}
				for _, q := range series.Bounds {
					m.Summary.Quantile = append(m.Summary.Quantile, &dto.Quantile{Quantile: &q, Value: take()})
				}
				m.Summary.SampleSum = take()
				n := uint64(*take())
				m.Summary.SampleCount = &n
			case health.Histogram:
				m.Histogram = &dto.Histogram{}
				for _, b := range series.Bounds {
					n := uint64(*take())
					m.Histogram.Bucket = append(m.Histogram.Bucket, &dto.Bucket{UpperBound: &b, CumulativeCount: &n})
				}
				m.Histogram.SampleSum = take()
				n := uint64(*take())
				m.Histogram.SampleCount = &n
			default:
				m.Untyped = &dto.Untyped{Value: take()}
			}
			mf.Metric = append(mf.Metric, m)
		}
		out = append(out, mf)
	}
	return out
}

// exposition is s as text and as protobuf.
func exposition(t testing.TB, s health.Snapshot) (text, proto []byte) {
	t.Helper()
	for _, format := range []expfmt.FormatType{expfmt.TypeTextPlain, expfmt.TypeProtoDelim} {
		var b bytes.Buffer
		e := expfmt.NewEncoder(&b, expfmt.NewFormat(format))
		for _, mf := range metricFamilies(s) {
			if err := e.Encode(mf); err != nil {
				t.Fatal(err)
			}
		}
		text, proto = proto, b.Bytes()
	}
	return text, proto
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, 6)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

var zstdEncoder, _ = zstd.NewWriter(nil)

func zstded(b []byte) []byte { return zstdEncoder.EncodeAll(b, nil) }
