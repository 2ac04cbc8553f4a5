package collectors

import (
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// buckets is a component's own histogram as it stood at one moment.
type buckets struct {
	bounds []float64 // upper bounds in rising order, the last is +Inf
	counts []float64 // cumulative: observations at most the bound
}

// bucketsOf reads a classic histogram.
func bucketsOf(h *dto.Histogram) buckets {
	var b buckets
	for _, bucket := range h.GetBucket() {
		b.bounds = append(b.bounds, bucket.GetUpperBound())
		b.counts = append(b.counts, float64(bucket.GetCumulativeCount()))
	}
	if n := len(b.bounds); n == 0 || !math.IsInf(b.bounds[n-1], +1) {
		b.bounds = append(b.bounds, math.Inf(+1))
		b.counts = append(b.counts, float64(h.GetSampleCount()))
	}
	return b
}

// since returns what was observed after earlier. When a count went back, the
// component has restarted, and all that b holds is newer.
func (b buckets) since(earlier buckets) buckets {
	if !slices.Equal(b.bounds, earlier.bounds) {
		return b
	}
	d := buckets{bounds: b.bounds, counts: make([]float64, len(b.counts))}
	for i := range b.counts {
		d.counts[i] = b.counts[i] - earlier.counts[i]
		if d.counts[i] < 0 {
			return b
		}
	}
	return d
}

// total is the number of observations.
func (b buckets) total() float64 {
	if len(b.counts) == 0 {
		return 0
	}
	return b.counts[len(b.counts)-1]
}

// quantile estimates the q-quantile, 0 < q <= 1, linearly within its bucket
// as PromQL's histogram_quantile does. Beyond the last finite bound it is
// that bound. It is false when nothing was observed.
func (b buckets) quantile(q float64) (float64, bool) {
	total := b.total()
	if total <= 0 || len(b.bounds) < 2 {
		return 0, false
	}
	rank := q * total
	i := slices.IndexFunc(b.counts, func(c float64) bool { return c >= rank })
	if i == len(b.bounds)-1 {
		return b.bounds[i-1], true
	}
	lower, below := 0.0, 0.0
	if i > 0 {
		lower, below = b.bounds[i-1], b.counts[i-1]
	}
	if b.bounds[i] <= 0 || b.counts[i] == below {
		return b.bounds[i], true
	}
	return lower + (b.bounds[i]-lower)*(rank-below)/(b.counts[i]-below), true
}
