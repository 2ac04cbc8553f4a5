package frame

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the native buckets of a series are made of.
const (
	fieldNativeSchema   protowire.Number = 1 // zigzag
	fieldNativeZero     protowire.Number = 2 // threshold, decimal
	fieldNativeNegative protowire.Number = 3 // spans: offset and length alternate, with blanks between
	fieldNativePositive protowire.Number = 4
)

func encodeNative(n *health.Native) []byte {
	b := AppendUint(nil, fieldNativeSchema, protowire.EncodeZigZag(int64(n.Schema)))
	b = AppendBytes(b, fieldNativeZero, strconv.AppendFloat(nil, n.ZeroThreshold, 'g', -1, 64))
	b = appendSpans(b, fieldNativeNegative, n.Negative)
	return appendSpans(b, fieldNativePositive, n.Positive)
}

func appendSpans(b []byte, field protowire.Number, spans []health.Span) []byte {
	if len(spans) == 0 {
		return b
	}
	var text []byte
	for i, s := range spans {
		if i > 0 {
			text = append(text, ' ')
		}
		text = append(strconv.AppendInt(text, int64(s.Offset), 10), ' ')
		text = strconv.AppendUint(text, uint64(s.Length), 10)
	}
	return AppendBytes(b, field, text)
}

// nativeOf reads the native buckets of a series.
func (p *familyParser) nativeOf(b []byte) (*health.Native, error) {
	n := &health.Native{}
	if err := Fields(b, func(field protowire.Number, v Value) (err error) {
		switch field {
		case fieldNativeSchema:
			schema := protowire.DecodeZigZag(v.Uint)
			if n.Schema = int32(schema); int64(n.Schema) != schema {
				return fmt.Errorf("native buckets of schema %d", schema)
			}
		case fieldNativeZero:
			if n.ZeroThreshold, err = strconv.ParseFloat(string(v.Bytes), 64); err != nil {
				return fmt.Errorf("zero threshold %.40q is not a number", v.Bytes)
			}
		case fieldNativeNegative:
			n.Negative, err = spansOf(string(v.Bytes))
		case fieldNativePositive:
			n.Positive, err = spansOf(string(v.Bytes))
		}
		return err
	}); err != nil {
		return nil, err
	}
	if err := n.Check(); err != nil {
		return nil, err
	}
	p.family.native = true
	return n, p.count(n.Width())
}

func spansOf(text string) ([]health.Span, error) {
	var spans []health.Span
	offset, odd := int64(0), false
	for word := range strings.FieldsSeq(text) {
		if len(spans) == health.MaxNativeBuckets {
			return nil, fmt.Errorf("more than %d spans", health.MaxNativeBuckets)
		}
		if odd = !odd; odd {
			var err error
			if offset, err = strconv.ParseInt(word, 10, 32); err != nil {
				return nil, fmt.Errorf("offset %.40q of a span is no such number", word)
			}
			continue
		}
		length, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("length %.40q of a span is no such number", word)
		}
		spans = append(spans, health.Span{Offset: int32(offset), Length: uint32(length)})
	}
	if odd {
		return nil, fmt.Errorf("a span without a length")
	}
	return slices.Clip(spans), nil
}
