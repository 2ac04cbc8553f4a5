package exposition

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
)

// Format is what metrics are written in.
type Format uint8

// The formats, most widely understood first.
const (
	Text        Format = iota // Prometheus text 0.0.4
	OpenMetrics               // OpenMetrics 1.0.0
	Protobuf                  // io.prometheus.client.MetricFamily, each after its length
)

var formats = [...]expfmt.Format{
	Text:        expfmt.NewFormat(expfmt.TypeTextPlain),
	OpenMetrics: expfmt.NewFormat(expfmt.TypeOpenMetrics),
	Protobuf:    expfmt.NewFormat(expfmt.TypeProtoDelim),
}

// ContentType is the value of the HTTP header of that name.
func (f Format) ContentType() string { return string(formats[f]) }

// Negotiate picks the format for an HTTP Accept header; Text when it asks for
// nothing that we have.
func Negotiate(accept string) Format {
	h := http.Header{"Accept": {accept}}
	switch expfmt.NegotiateAccept(h, formats[Protobuf], formats[OpenMetrics], formats[Text]).FormatType() {
	case expfmt.TypeProtoDelim:
		return Protobuf
	case expfmt.TypeOpenMetrics:
		return OpenMetrics
	default:
		return Text
	}
}

// body lays out the series of a template. It reports whether all found room.
func (f Format) body(t *template, shown []placedSeries) (body, bool) {
	if f == Protobuf {
		return newMessages(t, shown), true
	}
	return newLines(t, shown, f)
}

// header is what stands before the series of a family. clash says that a
// counter's name without its suffix is another family's.
func (f Format) header(name, help string, t health.Type, clash bool) string {
	if f == Protobuf {
		return messageHeader(name, help, t)
	}
	return f.textHeader(name, help, t, clash)
}

// appendLabel appends a node's name as it stands in each of its series.
func (f Format) appendLabel(dst []byte, node string) []byte {
	if f == Protobuf {
		return appendPair(dst, NodeLabel, validText(node))
	}
	return append(dst, labelEscaper.Replace(validText(node))...)
}

// validText is s as UTF-8.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// exactIntegers is where the shortest form of a whole number stops being its
// digits, as strconv would print them.
const exactIntegers = 1e15

// appendValue appends a sample's value. Whole numbers, which most are, take a
// short way; the formats allow them without a point. So do times: durations
// are whole nanoseconds, and points in time often whole milliseconds.
// A decimal of up to 15 digits that is read as v is the shortest that is.
func appendValue(dst []byte, v float64) []byte {
	if v > -exactIntegers && v < exactIntegers {
		if i := int64(v); float64(i) == v && (i != 0 || !math.Signbit(v)) {
			return strconv.AppendInt(dst, i, 10)
		}
	}
	switch {
	case v >= 1e-4 && v < 1e6:
		if n := math.Round(v * 1e9); n/1e9 == v {
			return appendDecimal(dst, uint64(n), 1e9, 9)
		}
	case v >= 1e6 && v < 1e12:
		if n := math.Round(v * 1e3); n/1e3 == v {
			return appendDecimal(dst, uint64(n), 1e3, 3)
		}
	}
	return appendFloat(dst, v)
}

// appendDecimal appends n/scale, which is no whole number. scale is ten to the
// power of places, at most 9.
func appendDecimal(dst []byte, n, scale uint64, places int) []byte {
	dst = append(strconv.AppendUint(dst, n/scale, 10), '.')
	n %= scale
	for n%10 == 0 {
		n, places = n/10, places-1
	}
	var digits [9]byte
	for i := places - 1; i >= 0; i-- {
		digits[i], n = byte('0'+n%10), n/10
	}
	return append(dst, digits[:places]...)
}

func appendFloat(dst []byte, v float64) []byte {
	if math.IsInf(v, +1) {
		return append(dst, "+Inf"...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

// bound is the value of a label le or quantile. OpenMetrics wants it to read
// as a float.
func (f Format) bound(v float64) string {
	s := string(appendFloat(nil, v))
	if f == OpenMetrics && !strings.ContainsAny(s, ".eIN") {
		s += ".0"
	}
	return s
}

// appendStamp appends a timestamp as it stands behind a value: milliseconds,
// in OpenMetrics seconds.
func (f Format) appendStamp(dst []byte, millis int64) []byte {
	if f == Protobuf {
		return protowire.AppendVarint(append(dst, metricTimestamp), uint64(millis))
	}
	dst = append(dst, ' ')
	if f == Text {
		return strconv.AppendInt(dst, millis, 10)
	}
	dst = strconv.AppendInt(dst, millis/1000, 10)
	ms := millis % 1000
	return append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

func validMetricName(name string) bool { return model.LegacyValidation.IsValidMetricName(name) }

func validLabelName(name string) bool {
	return name != model.MetricNameLabel && model.LegacyValidation.IsValidLabelName(name)
}
