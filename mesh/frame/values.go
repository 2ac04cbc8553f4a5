package frame

import (
	"strings"

	"github.com/grapevine-mesh/grapevine/health"
)

// kind groups series whose numbers look alike, so that they are learnt
// together. What of it a name tells, both ends read from the same schema.
type kind uint8

const (
	kindGauge kind = iota
	kindCounter
	kindBytes
	kindSeconds
	kindTimestamp
	kindBucket
	kindSum
	kinds
)

func kindOf(f *health.Family) kind {
	switch {
	case strings.HasSuffix(f.Name, "_timestamp_seconds"), strings.HasSuffix(f.Name, "_time_seconds"):
		return kindTimestamp
	case f.Type == health.Counter:
		return kindCounter
	case strings.HasSuffix(f.Name, "_seconds"):
		return kindSeconds
	case strings.HasSuffix(f.Name, "_bytes"):
		return kindBytes
	default:
		return kindGauge
	}
}

// valueCoder codes the values of a snapshot, one after the other. All that it
// learns of them it has forgotten by the next frame: each stands alone.
type valueCoder struct {
	*coder
	of       [kinds]numbers
	repeated [kinds][2]chance // by whether the one before was
	latest   float64          // of the timestamps so far
}

// values codes the values that go with a schema, but for those in native
// buckets; when reading, it fills them in.
func (v *valueCoder) values(s *health.Schema, values []float64) {
	for i := range s.Families {
		f := &s.Families[i]
		k := kindOf(f)
		width := f.Width()
		of := values[:width]
		values = values[width:]
		if f.Type != health.Histogram {
			v.family(k, of)
			continue
		}
		for j := range f.Series {
			width := f.Series[j].Width(f.Type)
			v.histogram(of[:width-f.Series[j].Native.Width()])
			of = of[width:]
		}
	}
}

// family codes the values of a family that is no histogram.
func (v *valueCoder) family(k kind, of []float64) {
	last, repeats := 0.0, 0
	for i := range of {
		of[i], repeats = v.value(k, of[i], last, repeats)
		last = of[i]
	}
}

// value codes one number. last is the one before it in its family, and
// repeats is 1 if that repeated the one before.
func (v *valueCoder) value(k kind, f, last float64, repeats int) (float64, int) {
	if v.flag(&v.repeated[k][repeats], same(f, last)) {
		return last, 1
	}
	expected := 0.0
	if k == kindTimestamp {
		expected = v.latest
	}
	f = v.of[k].number(v.coder, f, expected)
	if k == kindTimestamp && f > aTimestamp {
		v.latest = f
	}
	return f, 0
}

// aTimestamp is what a number must pass to be taken for one that others are
// close to: others are zero, for what has never happened.
const aTimestamp = 1e9

// histogram codes cumulative counts as what each adds, then sum and count.
func (v *valueCoder) histogram(of []float64) {
	buckets, sum, count := of[:len(of)-2], len(of)-2, len(of)-1
	last, repeats := 0.0, 0
	for i := range buckets {
		buckets[i], repeats = v.bucket(buckets[i], last, repeats)
		last = buckets[i]
	}
	of[count], _ = v.bucket(of[count], last, repeats)
	of[sum], _ = v.value(kindSum, of[sum], 0, 0)
}

func (v *valueCoder) bucket(f, last float64, repeats int) (float64, int) {
	if v.flag(&v.repeated[kindBucket][repeats], same(f, last)) {
		return last, 1
	}
	return v.of[kindBucket].number(v.coder, f, last), 0
}

// same tells 0 from -0, and takes no NaN for another, whose bits may differ.
func same(a, b float64) bool { return a == b && (a != 0 || 1/a == 1/b) }
