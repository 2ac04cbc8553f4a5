package exposition

import (
	"encoding/binary"
	"math"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
)

// The fields of io.prometheus.client that are written, with their wire types.
// All numbers are below 16, so each takes one byte.
const (
	familyName   = 1<<3 | byte(protowire.BytesType)
	familyHelp   = 2<<3 | byte(protowire.BytesType)
	familyType   = 3<<3 | byte(protowire.VarintType)
	familyMetric = 4<<3 | byte(protowire.BytesType)

	metricLabel     = 1<<3 | byte(protowire.BytesType)
	metricGauge     = 2<<3 | byte(protowire.BytesType)
	metricCounter   = 3<<3 | byte(protowire.BytesType)
	metricSummary   = 4<<3 | byte(protowire.BytesType)
	metricUntyped   = 5<<3 | byte(protowire.BytesType)
	metricTimestamp = 6<<3 | byte(protowire.VarintType)
	metricHistogram = 7<<3 | byte(protowire.BytesType)

	pairName  = 1<<3 | byte(protowire.BytesType)
	pairValue = 2<<3 | byte(protowire.BytesType)

	sampleValue = 1<<3 | byte(protowire.Fixed64Type) // of a Gauge, Counter or Untyped
	doubleSize  = 1 + 8                              // of a double with its tag
)

// messages is the body of a template in protobuf: the Metric of each series, as
// a field of its MetricFamily. The order of fields is that of their numbers, as
// in all known writers.
type messages struct {
	family   *health.Family
	kind     health.Type
	bytes    []byte // the labels, one series after the other
	messages []message
	usual    int // see typical
}

// message is one Metric: the labels from the end of the message before up to
// node, the node's label, what follows up to end, the values.
type message struct {
	node, end uint32
	value     uint32 // index of the first one in the family's values
	series    uint32 // index in the family's series
	native    bool   // its native buckets are shown
}

// newMessages lays out shown.
func newMessages(t *template, shown []placedSeries) body {
	b := &messages{family: t.Family, kind: t.kind}
	for _, s := range shown {
		m := message{value: uint32(s.value), series: uint32(s.index)}
		before := 0
		for before < len(s.labels) && s.labels[before].Name < NodeLabel {
			b.bytes = appendPair(b.bytes, s.labels[before].Name, s.labels[before].Value)
			before++
		}
		m.node = uint32(len(b.bytes))
		for _, l := range s.labels[before:] {
			b.bytes = appendPair(b.bytes, l.Name, l.Value)
		}
		switch t.kind {
		case health.Summary:
			b.usual += len(s.Bounds) * quantileSize
		case health.Histogram:
			m.native = s.Native != nil && s.Native.Check() == nil
			b.usual += len(s.Bounds)*usualBucket + s.Native.Width()*usualNative
		default:
			b.bytes = append(b.bytes, sampleField(t.kind), doubleSize, sampleValue)
		}
		m.end = uint32(len(b.bytes))
		b.messages = append(b.messages, m)
	}
	b.usual += len(b.bytes) + len(b.messages)*usualMessage
	return b
}

// usualMessage is what a message usually takes beside its labels, usualBucket
// and usualNative a histogram's bucket.
const usualMessage, usualBucket, usualNative = 2 + 10 + usualNode + doubleSize, 14, 2

func (b *messages) typical() int { return b.usual }

// appendPair appends a label.
func appendPair(dst []byte, name, value string) []byte {
	size := sizeField(len(name)) + sizeField(len(value))
	dst = appendLength(dst, metricLabel, size)
	dst = append(appendLength(dst, pairName, len(name)), name...)
	return append(appendLength(dst, pairValue, len(value)), value...)
}

// sampleField is the field of a Metric of one value.
func sampleField(t health.Type) byte {
	switch t {
	case health.Counter:
		return metricCounter
	case health.Gauge:
		return metricGauge
	default:
		return metricUntyped
	}
}

func (b *messages) append(dst []byte, n *shown, values []float64, only *selection) []byte {
	start, marks := uint32(0), len(n.label)+len(n.stamp)
	for i := range b.messages {
		m := &b.messages[i]
		if only == nil || only.has(&b.family.Series[m.series]) {
			before, after, size := b.bytes[start:m.node], b.bytes[m.node:m.end], int(m.end-start)+marks
			switch b.kind {
			case health.Summary:
				s := b.summary(m, values)
				dst = appendLength(dst, familyMetric, size+sizeField(s.size()))
				dst = append(append(append(dst, before...), n.label...), after...)
				dst = s.appendTo(dst)
				dst = append(dst, n.stamp...)
			case health.Histogram:
				h := b.histogram(m, values)
				dst = appendLength(dst, familyMetric, size+sizeField(h.size))
				dst = append(append(append(dst, before...), n.label...), after...)
				dst = append(dst, n.stamp...)
				dst = h.appendTo(dst)
			default:
				dst = appendLength(dst, familyMetric, size+8)
				dst = append(append(append(dst, before...), n.label...), after...)
				dst = appendDouble(dst, values[m.value])
				dst = append(dst, n.stamp...)
			}
		}
		start = m.end
	}
	return dst
}

// size is how many bytes append appends.
func (b *messages) size(n *shown, values []float64, only *selection) int {
	all, start, marks := 0, uint32(0), len(n.label)+len(n.stamp)
	for i := range b.messages {
		m := &b.messages[i]
		if only == nil || only.has(&b.family.Series[m.series]) {
			size := int(m.end-start) + marks
			switch b.kind {
			case health.Summary:
				s := b.summary(m, values)
				size += sizeField(s.size())
			case health.Histogram:
				h := b.histogram(m, values)
				size += sizeField(h.size)
			default:
				size += 8
			}
			all += sizeField(size)
		}
		start = m.end
	}
	return all
}

// sizedByMarks reports whether size is the same for all nodes whose label and
// stamp are as long.
func (b *messages) sizedByMarks() bool { return b.kind != health.Summary && b.kind != health.Histogram }

func (b *messages) summary(m *message, values []float64) summary {
	return summary{b.family.Series[m.series].Bounds, values[m.value:]}
}

func (b *messages) histogram(m *message, values []float64) histogram {
	return newHistogram(&b.family.Series[m.series], values[m.value:], m.native)
}

// sizeField is the size of a field that holds so many bytes.
func sizeField(n int) int { return 1 + protowire.SizeBytes(n) }

// appendLength begins a field that holds so many bytes.
func appendLength(dst []byte, field byte, n int) []byte {
	if n < 1<<7 {
		return append(dst, field, byte(n)) // most are
	}
	return protowire.AppendVarint(append(dst, field), uint64(n))
}

func appendDouble(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

var metricTypes = [...]dto.MetricType{
	health.Untyped:   dto.MetricType_UNTYPED,
	health.Counter:   dto.MetricType_COUNTER,
	health.Gauge:     dto.MetricType_GAUGE,
	health.Summary:   dto.MetricType_SUMMARY,
	health.Histogram: dto.MetricType_HISTOGRAM,
}

// messageHeader returns the fields of a family before its metrics. The length
// of them all stands before it, see answer.header.
func messageHeader(name, help string, t health.Type) string {
	b := append(appendLength(nil, familyName, len(name)), name...)
	if help = validText(help); help != "" {
		b = append(appendLength(b, familyHelp, len(help)), help...)
	}
	return string(append(b, familyType, byte(metricTypes[t])))
}
