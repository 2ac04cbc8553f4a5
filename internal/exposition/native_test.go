package exposition

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// The text formats show the classic part of a histogram; one that has none
// looks as the client library writes it.
func TestNativeHistogramAsText(t *testing.T) {
	native := &health.Native{ZeroThreshold: 0.5, Negative: []health.Span{{Length: 1}}, Positive: []health.Span{{Offset: 8, Length: 2}}}
	both, alone, classic := series("a", "1"), series("a", "2"), series("a", "3")
	both.Bounds, both.Native, alone.Native, classic.Bounds = []float64{1, 2}, native, native, []float64{1}
	h := health.Family{Name: "h", Type: health.Histogram, Series: []health.Series{both, alone, classic}}
	text := render(t, newRenderer(), mesh.View{Nodes: []mesh.Node{node("n", &health.Schema{Families: []health.Family{h, gauge("i", "", series())}},
		1, 2, 3.5, 4, 90, 91, 92, 93, // buckets, sum, count, native counts
		5.5, 6, 90, 91, 92, 93,
		7, 8.5, 9,
		10,
	)}}, Options{})
	var got []string
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "h") || strings.HasPrefix(line, "i{") {
			got = append(got, line)
		}
	}
	want := []string{
		`h_bucket{a="1",node="n",le="1"} 1`, `h_bucket{a="1",node="n",le="2"} 2`, `h_bucket{a="1",node="n",le="+Inf"} 4`,
		`h_sum{a="1",node="n"} 3.5`, `h_count{a="1",node="n"} 4`,
		`h_bucket{a="2",node="n",le="+Inf"} 6`, `h_sum{a="2",node="n"} 5.5`, `h_count{a="2",node="n"} 6`,
		`h_bucket{a="3",node="n",le="1"} 7`, `h_bucket{a="3",node="n",le="+Inf"} 9`, `h_sum{a="3",node="n"} 8.5`, `h_count{a="3",node="n"} 9`,
		`i{node="n"} 10`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// generatedNative is the native buckets of a histogram, or nil.
func generatedNative(rng *rand.Rand) *health.Native {
	if rng.IntN(2) == 0 {
		return nil
	}
	spans := func() (out []health.Span) {
		for i := range rng.IntN(4) {
			s := health.Span{Offset: int32(rng.IntN(20)), Length: 1 + uint32(rng.IntN(9))}
			if i == 0 {
				s.Offset -= 10
			}
			out = append(out, s)
		}
		return out
	}
	n := &health.Native{
		Schema:        int32(health.MinNativeSchema + rng.IntN(health.MaxNativeSchema-health.MinNativeSchema+1)),
		ZeroThreshold: []float64{0, 2.938735877055719e-39, 0.5}[rng.IntN(3)],
	}
	n.Negative, n.Positive = spans(), spans()
	return n
}

// clientNative sets h's native buckets as the client library does.
func clientNative(h *dto.Histogram, n *health.Native, counts []float64) {
	if n == nil {
		return
	}
	zero := uint64(counts[0])
	h.Schema, h.ZeroThreshold, h.ZeroCount = &n.Schema, &n.ZeroThreshold, &zero
	counts = counts[1:]
	buckets := func(spans []health.Span) (out []*dto.BucketSpan, deltas []int64) {
		last := 0.0
		for i := range spans {
			out = append(out, &dto.BucketSpan{Offset: &spans[i].Offset, Length: &spans[i].Length})
			for range spans[i].Length {
				deltas = append(deltas, int64(counts[0]-last))
				last, counts = counts[0], counts[1:]
			}
		}
		return out, deltas
	}
	h.NegativeSpan, h.NegativeDelta = buckets(n.Negative)
	h.PositiveSpan, h.PositiveDelta = buckets(n.Positive)
	if len(h.NegativeSpan)+len(h.PositiveSpan) == 0 && n.ZeroThreshold == 0 && zero == 0 {
		offset, length := int32(0), uint32(0)
		h.PositiveSpan = []*dto.BucketSpan{{Offset: &offset, Length: &length}} // else nothing says that it is native
	}
}
