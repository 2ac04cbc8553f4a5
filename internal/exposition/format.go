package exposition

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/grapevine-mesh/grapevine/health"
)

// Format is a text format.
type Format uint8

// The formats, most widely understood first.
const (
	Text        Format = iota // Prometheus text 0.0.4
	OpenMetrics               // OpenMetrics 1.0.0
)

var formats = [...]expfmt.Format{
	Text:        expfmt.NewFormat(expfmt.TypeTextPlain),
	OpenMetrics: expfmt.NewFormat(expfmt.TypeOpenMetrics),
}

// ContentType is the value of the HTTP header of that name.
func (f Format) ContentType() string { return string(formats[f]) }

// Negotiate picks the format for an HTTP Accept header; Text when it asks for
// nothing that we have.
func Negotiate(accept string) Format {
	h := http.Header{"Accept": {accept}}
	if expfmt.NegotiateAccept(h, formats[OpenMetrics], formats[Text]).FormatType() == expfmt.TypeOpenMetrics {
		return OpenMetrics
	}
	return Text
}

// header returns the HELP and TYPE lines of a family. clash says that a
// counter's name without its suffix is another family's.
func (f Format) header(name, help string, t health.Type, clash bool) string {
	word := t.String()
	escaper := helpEscaper
	if f == OpenMetrics {
		escaper = labelEscaper
		base, suffixed := strings.CutSuffix(name, "_total")
		switch {
		case t == health.Counter && suffixed && base != "" && !clash:
			name = base
		case t == health.Counter || t == health.Untyped:
			word = "unknown"
		}
	}
	var b strings.Builder
	if help != "" {
		b.WriteString("# HELP " + name + " " + escaper.Replace(strings.ToValidUTF8(help, "\uFFFD")) + "\n")
	}
	b.WriteString("# TYPE " + name + " " + word + "\n")
	return b.String()
}

var (
	helpEscaper  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// escapedLabel is a label value between its quotes.
func escapedLabel(value string) string {
	return labelEscaper.Replace(strings.ToValidUTF8(value, "\uFFFD"))
}

// exactIntegers is where the shortest form of a whole number stops being its
// digits, as strconv would print them.
const exactIntegers = 1e15

// appendValue appends a sample's value. Whole numbers, which most are, take
// the short way; the formats allow them without a point.
func appendValue(dst []byte, v float64) []byte {
	if v > -exactIntegers && v < exactIntegers {
		if i := int64(v); float64(i) == v && (i != 0 || !math.Signbit(v)) {
			return strconv.AppendInt(dst, i, 10)
		}
	}
	return appendFloat(dst, v)
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

// appendStamp appends a blank and a timestamp: milliseconds in Text, seconds
// in OpenMetrics.
func (f Format) appendStamp(dst []byte, millis int64) []byte {
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
