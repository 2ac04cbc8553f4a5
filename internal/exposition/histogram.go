package exposition

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
)

// The fields of the messages that Summary and Histogram consist of.
const (
	distributionCount = 1<<3 | byte(protowire.VarintType) // of both
	distributionSum   = 2<<3 | byte(protowire.Fixed64Type)
	distributionPart  = 3<<3 | byte(protowire.BytesType) // a quantile or a bucket

	quantileOf    = 1<<3 | byte(protowire.Fixed64Type)
	quantileValue = 2<<3 | byte(protowire.Fixed64Type)

	bucketCount = 1<<3 | byte(protowire.VarintType)
	bucketBound = 2<<3 | byte(protowire.Fixed64Type)

	nativeSchema    = 5<<3 | byte(protowire.VarintType)
	nativeThreshold = 6<<3 | byte(protowire.Fixed64Type)
	nativeZeros     = 7<<3 | byte(protowire.VarintType)
	negativeSpan    = 9<<3 | byte(protowire.BytesType)
	negativeDelta   = 10<<3 | byte(protowire.VarintType)
	positiveSpan    = 12<<3 | byte(protowire.BytesType)
	positiveDelta   = 13<<3 | byte(protowire.VarintType)

	spanOffset = 1<<3 | byte(protowire.VarintType)
	spanLength = 2<<3 | byte(protowire.VarintType)
)

// quantileSize is the size of the field that holds a quantile.
const quantileSize = 1 + 1 + 2*doubleSize

// summary is the field of a Metric that holds a summary.
type summary struct {
	bounds []float64
	values []float64 // as in health.Series.Width; there may be more
}

func (s summary) count() uint64 { return countOf(s.values[len(s.bounds)+1]) }

// size is that of the message in the field.
func (s summary) size() int {
	return 1 + protowire.SizeVarint(s.count()) + doubleSize + len(s.bounds)*quantileSize
}

func (s summary) appendTo(dst []byte) []byte {
	dst = appendLength(dst, metricSummary, s.size())
	dst = protowire.AppendVarint(append(dst, distributionCount), s.count())
	dst = appendDouble(append(dst, distributionSum), s.values[len(s.bounds)])
	for i, q := range s.bounds {
		dst = append(dst, distributionPart, 2*doubleSize)
		dst = appendDouble(append(dst, quantileOf), q)
		dst = appendDouble(append(dst, quantileValue), s.values[i])
	}
	return dst
}

// histogram is the field of a Metric that holds a histogram.
type histogram struct {
	bounds []float64
	below  []float64 // by bound
	sum    float64
	total  uint64
	native *health.Native // nil if it has none that can be shown
	zeros  uint64
	counts []float64 // by native bucket
	size   int       // of the message in the field
}

// newHistogram reads what values begin with.
func newHistogram(s *health.Series, values []float64, native bool) histogram {
	bounds := len(s.Bounds)
	h := histogram{bounds: s.Bounds, below: values[:bounds], sum: values[bounds], total: countOf(values[bounds+1])}
	h.size = 1 + protowire.SizeVarint(h.total) + doubleSize
	last := uint64(0)
	for _, v := range h.below {
		last = h.cumulative(last, v)
		h.size += 1 + 1 + bucketSize(last)
	}
	if native {
		h.zeros, h.counts = countOf(values[bounds+2]), values[bounds+3:][:s.Native.Width()-1]
		if h.addsUp() {
			h.native = s.Native
			h.size += h.nativeSize()
		}
	}
	return h
}

// cumulative is the count of the bucket with value v, after that of last. It
// ascends towards the total: a reader that converts classic histograms to
// native ones would take nothing of the whole answer otherwise.
func (h *histogram) cumulative(last uint64, v float64) uint64 {
	return min(max(last, countOf(v)), h.total)
}

// bucketSize is the size of the message of a bucket, below 128.
func bucketSize(count uint64) int { return 1 + protowire.SizeVarint(count) + doubleSize }

// addsUp reports whether all that was observed is in the native buckets,
// except for what is not a number. Otherwise Prometheus would refuse not them
// alone but the whole answer, and others would answer for what one node says.
func (h *histogram) addsUp() bool {
	if h.zeros > h.total {
		return false
	}
	left := h.total - h.zeros
	for _, v := range h.counts {
		c := countOf(v)
		if c > left {
			return false
		}
		left -= c
	}
	return left == 0 || math.IsNaN(h.sum)
}

func (h *histogram) appendTo(dst []byte) []byte {
	dst = appendLength(dst, metricHistogram, h.size)
	dst = protowire.AppendVarint(append(dst, distributionCount), h.total)
	dst = appendDouble(append(dst, distributionSum), h.sum)
	last := uint64(0)
	for i, v := range h.below {
		last = h.cumulative(last, v)
		dst = append(dst, distributionPart, byte(bucketSize(last)), bucketCount)
		dst = protowire.AppendVarint(dst, last)
		dst = appendDouble(append(dst, bucketBound), h.bounds[i])
	}
	if h.native != nil {
		dst = h.appendNative(dst)
	}
	return dst
}

func (h *histogram) nativeSize() int {
	size := 1 + sizeSigned(int64(h.native.Schema)) + doubleSize + 1 + protowire.SizeVarint(h.zeros)
	counts := h.counts
	for _, spans := range [...][]health.Span{h.native.Negative, h.native.Positive} {
		last := uint64(0)
		for _, s := range spans {
			size += 1 + 1 + spanSize(s)
			for _, v := range counts[:s.Length] {
				c := countOf(v)
				size += 1 + sizeSigned(int64(c-last))
				last = c
			}
			counts = counts[s.Length:]
		}
	}
	if h.looksClassic() {
		size += 1 + 1 + spanSize(health.Span{})
	}
	return size
}

func (h *histogram) appendNative(dst []byte) []byte {
	dst = appendSigned(append(dst, nativeSchema), int64(h.native.Schema))
	dst = appendDouble(append(dst, nativeThreshold), h.native.ZeroThreshold)
	dst = protowire.AppendVarint(append(dst, nativeZeros), h.zeros)
	negative := 0
	for _, s := range h.native.Negative {
		negative += int(s.Length)
	}
	dst = appendBuckets(dst, negativeSpan, negativeDelta, h.native.Negative, h.counts[:negative])
	dst = appendBuckets(dst, positiveSpan, positiveDelta, h.native.Positive, h.counts[negative:])
	if h.looksClassic() {
		dst = appendSpan(dst, positiveSpan, health.Span{})
	}
	return dst
}

// looksClassic reports whether nothing but an empty span tells a reader that
// the histogram is a native one.
func (h *histogram) looksClassic() bool {
	return len(h.native.Negative)+len(h.native.Positive) == 0 && h.native.ZeroThreshold == 0 && h.zeros == 0
}

func appendBuckets(dst []byte, span, delta byte, spans []health.Span, counts []float64) []byte {
	for _, s := range spans {
		dst = appendSpan(dst, span, s)
	}
	last := uint64(0)
	for _, v := range counts {
		c := countOf(v)
		dst = appendSigned(append(dst, delta), int64(c-last))
		last = c
	}
	return dst
}

// spanSize is the size of the message of a span, below 128.
func spanSize(s health.Span) int {
	return 1 + sizeSigned(int64(s.Offset)) + 1 + protowire.SizeVarint(uint64(s.Length))
}

func appendSpan(dst []byte, field byte, s health.Span) []byte {
	dst = append(dst, field, byte(spanSize(s)))
	dst = appendSigned(append(dst, spanOffset), int64(s.Offset))
	return protowire.AppendVarint(append(dst, spanLength), uint64(s.Length))
}

func sizeSigned(v int64) int { return protowire.SizeVarint(protowire.EncodeZigZag(v)) }

func appendSigned(dst []byte, v int64) []byte {
	return protowire.AppendVarint(dst, protowire.EncodeZigZag(v))
}

// countOf is a value as the count that it should be: whole, not negative, and
// small enough for the difference of two.
func countOf(v float64) uint64 {
	switch {
	case !(v > 0):
		return 0
	case v >= 1<<63:
		return math.MaxInt64
	default:
		return uint64(v)
	}
}
