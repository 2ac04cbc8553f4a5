package health

import (
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// nativeRun is the length of the aligned runs in which native buckets are
// taken: all of a run or none of it. A bucket that is first used would make a
// new schema each time, for everybody. In runs most have been told already, as
// zeros, which cost next to nothing. At a growth factor of 2, 8 buckets are a
// factor of 256 in time, so a duration settles after a few schemas.
const nativeRun = 8

// nativeOf returns the native buckets of h and what is in them: zero, then
// negative, then positive ones. It returns none if h is a classic histogram
// only, or if its buckets are none that Prometheus would take, so that the
// classic part still travels. So it is with counts that are floats, which the
// client library does not make and text files may not have.
func nativeOf(h *dto.Histogram) (*Native, []float64) {
	// The rule by which Prometheus tells one.
	if len(h.GetNegativeSpan()) == 0 && len(h.GetPositiveSpan()) == 0 && h.GetZeroThreshold() <= 0 && h.GetZeroCount() == 0 {
		return nil, nil
	}
	if h.SampleCountFloat != nil || h.ZeroCountFloat != nil || h.NegativeCount != nil || h.PositiveCount != nil {
		return nil, nil
	}
	b := buckets{counts: []float64{float64(h.GetZeroCount())}}
	n := &Native{Schema: h.GetSchema(), ZeroThreshold: h.GetZeroThreshold()}
	n.Negative = b.spans(h.GetNegativeSpan(), h.GetNegativeDelta())
	n.Positive = b.spans(h.GetPositiveSpan(), h.GetPositiveDelta())
	if b.malformed || n.Check() != nil {
		return nil, nil
	}
	return n, b.counts
}

// buckets gathers counts, which the client library gives as differences.
type buckets struct {
	counts    []float64
	malformed bool
}

// spans returns spans rounded to whole runs. Those that are all zero are left
// out.
func (b *buckets) spans(given []*dto.BucketSpan, deltas []int64) []Span {
	var spans []Span
	index, end, count := int64(0), int64(0), int64(0) // end is that of the newest run
	for i, s := range given {
		index += int64(s.GetOffset())
		if i > 0 && s.GetOffset() < 0 || uint64(s.GetLength()) > uint64(len(deltas)) {
			b.malformed = true
			return nil
		}
		for _, delta := range deltas[:s.GetLength()] {
			if count += delta; count < 0 || index < -maxNativeIndex || index >= maxNativeIndex || len(b.counts) > MaxNativeBuckets+1 {
				b.malformed = true
				return nil
			}
			if count > 0 {
				if start := index &^ (nativeRun - 1); len(spans) == 0 || start > end {
					spans = append(spans, Span{Offset: int32(start - end), Length: 0})
					end = start
				}
				if index >= end {
					spans[len(spans)-1].Length += nativeRun
					b.counts = append(b.counts, make([]float64, nativeRun)...)
					end += nativeRun
				}
				b.counts[len(b.counts)-int(end-index)] = float64(count)
			}
			index++
		}
		deltas = deltas[s.GetLength():]
	}
	b.malformed = b.malformed || len(deltas) > 0
	return slices.Clip(spans)
}
