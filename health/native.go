package health

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Native is the shape of a native histogram: which buckets it has. They grow
// by a constant factor, so that a schema and spans say it all.
//
// What has neither spans nor a zero threshold above zero is still a native
// histogram. In protobuf it needs an empty span to be told from a classic one.
type Native struct {
	Schema        int32   // bucket i ends at 2^(i / 2^Schema): from MinNativeSchema to MaxNativeSchema
	ZeroThreshold float64 // of either sign, up to it observations are in the zero bucket

	// Buckets of negative and of positive observations, each from zero outwards.
	Negative, Positive []Span
}

// Span is a run of buckets.
type Span struct {
	Offset int32  // of the first: index of its first bucket; of others: how many were left out since the span before
	Length uint32 // at least 1
}

// What Prometheus takes for exponential buckets.
const (
	MinNativeSchema = -4
	MaxNativeSchema = 8
)

const (
	// MaxNativeBuckets is how many a native histogram may have. Clients of
	// Prometheus keep to 160, which rounding to whole runs may double or more.
	MaxNativeBuckets = 640
	// maxNativeIndex is beyond every float64 at the finest schema.
	maxNativeIndex = 1 << 19
)

// Width is the number of values that the buckets take, that of zero included;
// 0 if n is nil.
func (n *Native) Width() int {
	if n == nil {
		return 0
	}
	width := 1
	for _, spans := range [...][]Span{n.Negative, n.Positive} {
		for _, s := range spans {
			width += int(s.Length)
		}
	}
	return width
}

// Equal reports whether two histograms have the same buckets; nil has none.
func (n *Native) Equal(m *Native) bool {
	if n == nil || m == nil {
		return n == m
	}
	return n.Schema == m.Schema && math.Float64bits(n.ZeroThreshold) == math.Float64bits(m.ZeroThreshold) &&
		slices.Equal(n.Negative, m.Negative) && slices.Equal(n.Positive, m.Positive)
}

// Check returns an error unless every reader can take the buckets for what
// they are: their schema is known, their order ascends, their number is bounded.
func (n *Native) Check() error {
	switch {
	case n.Schema < MinNativeSchema || n.Schema > MaxNativeSchema:
		return fmt.Errorf("native buckets of schema %d", n.Schema)
	case !(n.ZeroThreshold >= 0) || math.IsInf(n.ZeroThreshold, 0):
		return fmt.Errorf("native buckets with a zero threshold of %v", n.ZeroThreshold)
	}
	buckets := int64(0)
	for _, spans := range [...][]Span{n.Negative, n.Positive} {
		index := int64(0)
		for i, s := range spans {
			index += int64(s.Offset)
			if s.Length == 0 || i > 0 && s.Offset < 0 {
				return errors.New("native buckets out of order")
			}
			first := index
			index += int64(s.Length)
			if first < -maxNativeIndex || index > maxNativeIndex {
				return fmt.Errorf("native buckets from %d to %d", first, index)
			}
			if buckets += int64(s.Length); buckets > MaxNativeBuckets {
				return fmt.Errorf("more than %d native buckets", MaxNativeBuckets)
			}
		}
	}
	return nil
}
