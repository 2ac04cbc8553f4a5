package health_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/health"
)

// registry has one metric of every type, made and filled in no order.
func registry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	auto := promauto.With(reg)
	reads := auto.NewCounterVec(prometheus.CounterOpts{Name: "reads_total", Help: "Reads."}, []string{"zone", "node", "kind"})
	reads.WithLabelValues("z", "me", "slow").Add(2)
	reads.WithLabelValues("a", "me", "slow").Add(1)
	reads.WithLabelValues("z", "me", "fast").Add(3)
	auto.NewGauge(prometheus.GaugeOpts{Name: "free_bytes", Help: "Free."}).Set(math.Inf(1))
	auto.NewUntypedFunc(prometheus.UntypedOpts{Name: "odd"}, func() float64 { return math.NaN() })
	duration := auto.NewHistogramVec(prometheus.HistogramOpts{Name: "duration_seconds", Buckets: []float64{1, 2}}, []string{"op"})
	for _, v := range []float64{0.5, 1.5, 9} {
		duration.WithLabelValues("write").Observe(v)
	}
	duration.WithLabelValues("read")
	auto.NewHistogram(prometheus.HistogramOpts{Name: "native_seconds", NativeHistogramBucketFactor: 1.1}).Observe(4)
	size := auto.NewSummary(prometheus.SummaryOpts{Name: "size_bytes", Objectives: map[float64]float64{0.9: 0, 0.5: 0}})
	size.Observe(7)
	return reg
}

func TestFromFamilies(t *testing.T) {
	families, err := registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	// They may come in any order, as from several registries.
	families[0], families[len(families)-1] = families[len(families)-1], families[0]
	schema, values := health.FromFamilies("1.2.3", "node", families)

	label := func(name, value string) health.Label { return health.Label{Name: name, Value: value} }
	want := &health.Schema{Version: "1.2.3", Families: []health.Family{
		{Name: "duration_seconds", Type: health.Histogram, Series: []health.Series{
			{Labels: []health.Label{label("op", "read")}, Bounds: []float64{1, 2}},
			{Labels: []health.Label{label("op", "write")}, Bounds: []float64{1, 2}},
		}},
		{Name: "free_bytes", Help: "Free.", Type: health.Gauge, Series: []health.Series{{}}},
		{Name: "native_seconds", Type: health.Histogram, Series: []health.Series{{Native: &health.Native{
			Schema: 3, ZeroThreshold: prometheus.DefNativeHistogramZeroThreshold, Positive: []health.Span{{Offset: 16, Length: 8}},
		}}}},
		{Name: "odd", Type: health.Untyped, Series: []health.Series{{}}},
		{Name: "reads_total", Help: "Reads.", Type: health.Counter, Series: []health.Series{
			{Labels: []health.Label{label("kind", "fast"), label("zone", "z")}},
			{Labels: []health.Label{label("kind", "slow"), label("zone", "a")}},
			{Labels: []health.Label{label("kind", "slow"), label("zone", "z")}},
		}},
		{Name: "size_bytes", Type: health.Summary, Series: []health.Series{{Bounds: []float64{0.5, 0.9}}}},
	}}
	if diff := cmp.Diff(want, schema); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	wantValues := []float64{
		0, 0, 0, 0, // read: two buckets, sum, count
		1, 2, 11, 3, // write
		math.Inf(1),
		4, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, // native: sum, count, zero count, 8 buckets
		math.NaN(),
		3, 1, 2,
		7, 7, 7, 1,
	}
	if diff := cmp.Diff(wantValues, values, cmp.Comparer(sameBits)); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if schema.Width() != len(values) || schema.Series() != 9 {
		t.Errorf("width %d of %d values, %d series", schema.Width(), len(values), schema.Series())
	}
}

func sameBits(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// The same registry gives the same schema each time, so that it can be told
// by its content, and a new value changes only the values.
func TestFromFamiliesIsStable(t *testing.T) {
	reg := registry()
	gather := func() (*health.Schema, []float64) {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		return health.FromFamilies("1", "", families)
	}
	first, before := gather()
	reg.Unregister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "free_bytes", Help: "Free."}))
	promauto.With(reg).NewGauge(prometheus.GaugeOpts{Name: "free_bytes", Help: "Free."}).Set(5)
	second, after := gather()
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("schema (-first +second):\n%s", diff)
	}
	if cmp.Equal(before, after, cmp.Comparer(sameBits)) {
		t.Error("the values are the same")
	}
	for _, l := range first.Families[4].Series[0].Labels {
		if l.Name == "node" {
			return
		}
	}
	t.Error("the label node is gone although none was to be dropped")
}

func TestFromFamiliesOddInput(t *testing.T) {
	name, inf, count, sum := "h", math.Inf(1), uint64(3), 1.5
	bound, below := 1.0, uint64(2)
	histogram, gaugeHistogram := dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM
	for _, tc := range []struct {
		label    string
		families []*dto.MetricFamily
		series   int
		values   []float64
	}{
		{"none", nil, 0, nil},
		{"no metrics", []*dto.MetricFamily{{Name: &name}}, 0, nil},
		{"metric without a value", []*dto.MetricFamily{{Name: &name, Metric: []*dto.Metric{{}}}}, 1, []float64{0}},
		{"explicit bucket of +Inf", []*dto.MetricFamily{{Name: &name, Type: &histogram, Metric: []*dto.Metric{{
			Histogram: &dto.Histogram{SampleCount: &count, SampleSum: &sum, Bucket: []*dto.Bucket{
				{UpperBound: &bound, CumulativeCount: &below}, {UpperBound: &inf, CumulativeCount: &count},
			}},
		}}}}, 1, []float64{2, 1.5, 3}},
		{"gauge histogram", []*dto.MetricFamily{{Name: &name, Type: &gaugeHistogram, Metric: []*dto.Metric{{}}}}, 1, []float64{0}},
	} {
		schema, values := health.FromFamilies("", "node", tc.families)
		if schema.Series() != tc.series || schema.Width() != len(values) || !cmp.Equal(tc.values, values) {
			t.Errorf("%s: %d series, width %d, values %v; want %d, %v", tc.label, schema.Series(), schema.Width(), values, tc.series, tc.values)
		}
	}
}
