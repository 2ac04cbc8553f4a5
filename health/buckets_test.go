package health_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/health"
)

// gathered returns the one series of c.
func gathered(t *testing.T, c prometheus.Collector) (*dto.Histogram, health.Series, []float64) {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	schema, values := health.FromFamilies("1", "", families)
	series := schema.Families[0].Series[0]
	if want := series.Width(health.Histogram); want != len(values) {
		t.Fatalf("%d values, the width is %d", len(values), want)
	}
	if series.Native != nil {
		if err := series.Native.Check(); err != nil {
			t.Fatal(err)
		}
	}
	return families[0].Metric[0].Histogram, series, values
}

// filled lists the counts of buckets that are not empty, by index.
func filled(spans []health.Span, counts []float64) map[int]float64 {
	out := map[int]float64{}
	index := 0
	for _, s := range spans {
		index += int(s.Offset)
		for range s.Length {
			if counts[0] != 0 {
				out[index] = counts[0]
			}
			counts, index = counts[1:], index+1
		}
	}
	return out
}

// clientFilled is the same of what the client library gives.
func clientFilled(spans []*dto.BucketSpan, deltas []int64) map[int]float64 {
	out := map[int]float64{}
	index, at, count := 0, 0, int64(0)
	for _, s := range spans {
		index += int(s.GetOffset())
		for range s.GetLength() {
			if count += deltas[at]; count != 0 {
				out[index] = float64(count)
			}
			at, index = at+1, index+1
		}
	}
	return out
}

func TestNativeBucketsAreThoseOfTheClient(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "h", NativeHistogramBucketFactor: []float64{1.003, 1.1, 2, 10, 60000}[rng.IntN(5)],
			NativeHistogramMaxBucketNumber: uint32(rng.IntN(100)), NativeHistogramMaxZeroThreshold: 0.01,
			Buckets: [][]float64{nil, {1, 2}}[rng.IntN(2)],
		})
		for range rng.IntN(60) {
			v := math.Exp(rng.NormFloat64() * 6)
			switch rng.IntN(8) {
			case 0:
				v = 0
			case 1, 2:
				v = -v
			}
			h.Observe(v)
		}
		client, series, values := gathered(t, h)
		n := series.Native
		if n == nil {
			t.Fatalf("seed %d: no native buckets", seed)
		}
		for _, spans := range [][]health.Span{n.Negative, n.Positive} {
			index := 0
			for i, s := range spans {
				index += int(s.Offset)
				if index%8 != 0 || s.Length%8 != 0 || i > 0 && s.Offset == 0 {
					t.Errorf("seed %d: %v are no whole, merged runs", seed, spans)
				}
				index += int(s.Length)
			}
		}
		counts := values[len(series.Bounds)+2:]
		negative := 0
		for _, s := range n.Negative {
			negative += int(s.Length)
		}
		if n.Schema != client.GetSchema() || n.ZeroThreshold != client.GetZeroThreshold() || counts[0] != float64(client.GetZeroCount()) {
			t.Errorf("seed %d: %+v, zero count %v; the client has %v", seed, n, counts[0], client)
		}
		if diff := cmp.Diff(clientFilled(client.GetNegativeSpan(), client.GetNegativeDelta()), filled(n.Negative, counts[1:1+negative])); diff != "" {
			t.Errorf("seed %d: negative buckets (-client +ours):\n%s", seed, diff)
		}
		if diff := cmp.Diff(clientFilled(client.GetPositiveSpan(), client.GetPositiveDelta()), filled(n.Positive, counts[1+negative:])); diff != "" {
			t.Errorf("seed %d: positive buckets (-client +ours):\n%s", seed, diff)
		}
	}
}

// A new schema goes to every node: a histogram must come to its own soon.
func TestNativeBucketsSettle(t *testing.T) {
	for _, tc := range []struct {
		factor  float64
		schemas int
	}{{2, 4}, {1.1, 20}} {
		t.Run(fmt.Sprint(tc.factor), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", NativeHistogramBucketFactor: tc.factor})
			var shape *health.Native
			schemas, last := 0, 0
			for i := range 20_000 { // requests around 3 ms, most within a factor of 20
				h.Observe(0.003 * math.Exp(rng.NormFloat64()*1.5))
				if i%10 > 0 {
					continue
				}
				if _, series, _ := gathered(t, h); !series.Native.Equal(shape) {
					shape, schemas, last = series.Native, schemas+1, i
				}
			}
			t.Logf("%d schemas, the last after %d observations, %d buckets", schemas, last, shape.Width())
			if schemas > tc.schemas {
				t.Errorf("%d schemas, allowed are %d", schemas, tc.schemas)
			}
		})
	}
}

// What cannot be taken for native buckets leaves the classic ones alone.
func TestNativeBucketsLeftOut(t *testing.T) {
	ptr := func(v float64) *float64 { return &v }
	schema := func(v int32) *int32 { return &v }
	span := func(offset int32, length uint32) *dto.BucketSpan {
		return &dto.BucketSpan{Offset: &offset, Length: &length}
	}
	for name, tc := range map[string]struct {
		histogram *dto.Histogram
		native    bool
	}{
		"classic":              {&dto.Histogram{}, false},
		"an empty span":        {&dto.Histogram{Schema: schema(0), PositiveSpan: []*dto.BucketSpan{span(0, 0)}}, true},
		"a zero threshold":     {&dto.Histogram{Schema: schema(8), ZeroThreshold: ptr(1e-9)}, true},
		"a bucket":             {&dto.Histogram{PositiveSpan: []*dto.BucketSpan{span(-3, 1)}, PositiveDelta: []int64{2}}, true},
		"custom bounds":        {&dto.Histogram{Schema: schema(-53), PositiveSpan: []*dto.BucketSpan{span(0, 1)}, PositiveDelta: []int64{2}}, false},
		"too fine":             {&dto.Histogram{Schema: schema(9), ZeroThreshold: ptr(1)}, false},
		"a threshold of NaN":   {&dto.Histogram{ZeroThreshold: ptr(math.NaN()), PositiveSpan: []*dto.BucketSpan{span(0, 0)}}, false},
		"a negative threshold": {&dto.Histogram{ZeroThreshold: ptr(-1), PositiveSpan: []*dto.BucketSpan{span(0, 0)}}, false},
		"counts of floats":     {&dto.Histogram{PositiveSpan: []*dto.BucketSpan{span(0, 1)}, PositiveCount: []float64{2}}, false},
		"spans beyond deltas":  {&dto.Histogram{PositiveSpan: []*dto.BucketSpan{span(0, math.MaxUint32)}, PositiveDelta: []int64{2}}, false},
		"deltas beyond spans":  {&dto.Histogram{PositiveSpan: []*dto.BucketSpan{span(0, 1)}, PositiveDelta: []int64{2, 1}}, false},
		"a negative count":     {&dto.Histogram{NegativeSpan: []*dto.BucketSpan{span(0, 1)}, NegativeDelta: []int64{-2}}, false},
		"spans backwards":      {&dto.Histogram{NegativeSpan: []*dto.BucketSpan{span(0, 1), span(-2, 1)}, NegativeDelta: []int64{2, 1}}, false},
		"an index beyond any":  {&dto.Histogram{NegativeSpan: []*dto.BucketSpan{span(math.MaxInt32, 1)}, NegativeDelta: []int64{2}}, false},
		"too many buckets":     {&dto.Histogram{NegativeSpan: []*dto.BucketSpan{span(0, 1000)}, NegativeDelta: append([]int64{1}, make([]int64, 999)...)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			kind, family := dto.MetricType_HISTOGRAM, "h"
			one, two := 1.0, uint64(2)
			tc.histogram.Bucket = []*dto.Bucket{{UpperBound: &one, CumulativeCount: &two}}
			schema, values := health.FromFamilies("", "", []*dto.MetricFamily{{Name: &family, Type: &kind, Metric: []*dto.Metric{{Histogram: tc.histogram}}}})
			if got := schema.Families[0].Series[0].Native; (got != nil) != tc.native || schema.Width() != len(values) || values[0] != 2 {
				t.Errorf("native buckets %+v, values %v", got, values)
			}
		})
	}
}

func TestNativeCheck(t *testing.T) {
	for name, n := range map[string]health.Native{
		"schema":           {Schema: -5},
		"infinite zero":    {ZeroThreshold: math.Inf(1)},
		"empty span":       {Positive: []health.Span{{}}},
		"backwards":        {Positive: []health.Span{{Length: 1}, {Offset: -1, Length: 1}}},
		"far below":        {Positive: []health.Span{{Offset: math.MinInt32, Length: 1}}},
		"far above":        {Positive: []health.Span{{Offset: 0, Length: 8}, {Offset: math.MaxInt32, Length: 8}}},
		"long":             {Negative: []health.Span{{Length: math.MaxUint32}}},
		"many of both":     {Negative: []health.Span{{Length: 400}}, Positive: []health.Span{{Length: 400}}},
		"many with a wrap": {Negative: []health.Span{{Length: math.MaxUint32}, {Length: 2}}},
	} {
		if err := n.Check(); err == nil {
			t.Errorf("%s: %+v passes", name, n)
		}
	}
}
