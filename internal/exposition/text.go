package exposition

import (
	"strings"

	"github.com/grapevine-mesh/grapevine/health"
)

// maxFixed bounds the text of one family, in bytes: a few long labels times
// many buckets would otherwise make much out of a little.
const maxFixed = 16 << 20

// lines is the body of a template in the text formats.
type lines struct {
	family *health.Family
	text   []byte // the lines one after the other
	lines  []line
}

// line is one sample: the text from the end of the line before up to node,
// the node's name, the text up to end, a value.
type line struct {
	node, end uint32
	value     uint32 // index in the family's values
	series    uint32 // index in the family's series
	count     bool   // the value is one, and below zero some reader would take nothing of the answer
}

// newLines lays out shown. It reports whether all of them found room.
func newLines(t *template, shown []placedSeries, f Format) (body, bool) {
	b := &lines{family: t.Family}
	all := true
	for _, s := range shown {
		head, tail := around(s.labels)
		if !b.fits(s.Series, len(t.Name)+len(head)+len(tail)) {
			all = false
			continue
		}
		l := layout{lines: b, series: uint32(s.index), value: uint32(s.value), head: head, tail: tail}
		l.lay(s.Series, t.kind, f)
	}
	if len(b.lines) == 0 {
		return nil, all
	}
	return b, all
}

// longestBound is the room that a suffix, a bound and punctuation take.
const longestBound = 64

func (b *lines) fits(series *health.Series, bytes int) bool {
	return (maxFixed-len(b.text))/(len(series.Bounds)+3) >= bytes+longestBound
}

// around returns the label set up to the node's name and after it, without
// the closing brace.
func around(labels []health.Label) (head, tail string) {
	before, after := []byte{'{'}, []byte{'"'}
	for _, l := range labels {
		if l.Name < NodeLabel {
			before = append(before, l.Name+`="`+labelEscaper.Replace(l.Value)+`",`...)
		} else {
			after = append(after, `,`+l.Name+`="`+labelEscaper.Replace(l.Value)+`"`...)
		}
	}
	return string(append(before, NodeLabel+`="`...)), string(after)
}

// layout writes the lines of one series.
type layout struct {
	*lines
	series, value uint32 // value is the index of the series' first one
	head, tail    string
}

func (l *layout) lay(series *health.Series, kind health.Type, f Format) {
	bounds := uint32(len(series.Bounds))
	switch kind {
	case health.Histogram:
		for i, b := range series.Bounds {
			l.line("_bucket", `,le="`+f.bound(b)+`"`, uint32(i), true)
		}
		l.line("_bucket", `,le="+Inf"`, bounds+1, true)
	case health.Summary:
		for i, q := range series.Bounds {
			l.line("", `,quantile="`+f.bound(q)+`"`, uint32(i), false)
		}
	default:
		l.line("", "", 0, false)
		return
	}
	l.line("_sum", "", bounds, false)
	l.line("_count", "", bounds+1, true)
}

// line writes the sample whose value is the nth of the series.
func (l *layout) line(suffix, extra string, nth uint32, count bool) {
	l.text = append(l.text, l.family.Name...)
	l.text = append(l.text, suffix...)
	l.text = append(l.text, l.head...)
	node := uint32(len(l.text))
	l.text = append(l.text, l.tail...)
	l.text = append(l.text, extra...)
	l.text = append(l.text, "} "...)
	l.lines.lines = append(l.lines.lines, line{node, uint32(len(l.text)), l.value + nth, l.series, count})
}

func (b *lines) append(dst []byte, n *shown, values []float64, only *selection) []byte {
	start := uint32(0)
	for _, l := range b.lines {
		if only == nil || only.has(&b.family.Series[l.series]) {
			dst = append(dst, b.text[start:l.node]...)
			dst = append(dst, n.label...)
			dst = append(dst, b.text[l.node:l.end]...)
			v := values[l.value]
			if l.count && !(v > 0) {
				v = 0
			}
			dst = appendValue(dst, v)
			dst = append(dst, n.stamp...)
			dst = append(dst, '\n')
		}
		start = l.end
	}
	return dst
}

// usualNode and usualValue are the lengths of a node's name and a value with
// what stands around them.
const usualNode, usualValue = 12, 8

func (b *lines) typical() int { return len(b.text) + len(b.lines)*(usualNode+usualValue) }

// textHeader returns the HELP and TYPE lines of a family. clash says that a
// counter's name without its suffix is another family's.
func (f Format) textHeader(name, help string, t health.Type, clash bool) string {
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
		b.WriteString("# HELP " + name + " " + escaper.Replace(validText(help)) + "\n")
	}
	b.WriteString("# TYPE " + name + " " + word + "\n")
	return b.String()
}

var (
	helpEscaper  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)
