package collectors

import (
	"math"
	"testing"
)

func TestQuantile(t *testing.T) {
	inf := math.Inf(+1)
	bounds := []float64{1, 2, 4, inf}
	for name, c := range map[string]struct {
		counts []float64
		q      float64
		want   float64
		ok     bool
	}{
		"nothing":             {[]float64{0, 0, 0, 0}, 0.99, 0, false},
		"middle of the first": {[]float64{10, 10, 10, 10}, 0.5, 0.5, true},
		"within the second":   {[]float64{0, 10, 10, 10}, 0.5, 1.5, true},
		"between buckets":     {[]float64{5, 5, 10, 10}, 0.75, 3, true},
		"beyond the last":     {[]float64{0, 0, 0, 10}, 0.99, 4, true},
		"exactly a bound":     {[]float64{5, 10, 10, 10}, 0.5, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := buckets{bounds, c.counts}.quantile(c.q)
			if ok != c.ok || math.Abs(got-c.want) > 1e-9 {
				t.Errorf("got %v %v, want %v %v", got, ok, c.want, c.ok)
			}
		})
	}
	if _, ok := (buckets{}).quantile(0.5); ok {
		t.Error("a quantile of nothing at all")
	}
}

func TestSince(t *testing.T) {
	bounds := []float64{1, math.Inf(+1)}
	before, now := buckets{bounds, []float64{5, 8}}, buckets{bounds, []float64{6, 10}}
	if d := now.since(before); d.counts[0] != 1 || d.total() != 2 {
		t.Errorf("difference %v", d.counts)
	}
	restarted := buckets{bounds, []float64{1, 9}}
	if d := restarted.since(before); d.counts[0] != 1 || d.total() != 9 {
		t.Errorf("after a restart %v", d.counts)
	}
	if d := now.since(buckets{[]float64{2, math.Inf(+1)}, []float64{1, 1}}); d.total() != 10 {
		t.Errorf("with other buckets %v", d.counts)
	}
}
