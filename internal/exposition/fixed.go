package exposition

import (
	"cmp"
	"math"
	"slices"

	"github.com/grapevine-mesh/grapevine/health"
)

// maxFixed bounds the text of one schema, in bytes: a few long labels times
// many buckets would otherwise make much out of a little.
const maxFixed = 64 << 20

// fixed is all of a schema's sample lines that stays the same from one
// snapshot to the next. It is made once and shared by all nodes that have the
// schema: only the node's name and the values are left to fill in.
type fixed struct {
	schema    *health.Schema
	text      []byte // the lines one after the other
	families  []fixedFamily
	width     int // of the values that go with it
	malformed int // families that were left out in whole or in part
}

type fixedFamily struct {
	*health.Family
	kind  health.Type
	start uint32 // in text
	lines []line
}

// line is one sample: the text from the end of the line before up to node,
// the node's name, the text up to end, a value.
type line struct {
	node, end uint32
	value     uint32 // index in the snapshot's values
	series    uint32 // index in the family's series
}

// fix lays out a schema. What would make the answer unreadable, such as a
// malformed name or a series told twice, is left out and counted: schemas
// come from other nodes, and one bad peer must not blind everybody.
func fix(schema *health.Schema, f Format) *fixed {
	x := &fixed{schema: schema, width: schema.Width()}
	names := make(map[string]bool, len(schema.Families))
	value := 0
	for i := range schema.Families {
		family := &schema.Families[i]
		first := value
		value += family.Width()
		if names[family.Name] || !validMetricName(family.Name) {
			x.malformed++
			continue
		}
		names[family.Name] = true
		x.add(family, first, f)
	}
	return x
}

// add lays out one family whose first value has the index value.
func (x *fixed) add(family *health.Family, value int, f Format) {
	out := fixedFamily{Family: family, kind: typeOf(family.Type), start: uint32(len(x.text))}
	seen := make(map[string]bool, len(family.Series))
	complete := true
	for i := range family.Series {
		series := &family.Series[i]
		head, tail, ok := labels(series, out.kind)
		key := head + "\x00" + tail
		if !ok || seen[key] || !x.fits(series, len(family.Name)+len(key)) {
			complete = false
		} else {
			seen[key] = true
			l := layout{fixed: x, family: &out, series: uint32(i), value: uint32(value), head: head, tail: tail}
			l.lay(series, f)
		}
		value += series.Width(family.Type)
	}
	if !complete {
		x.malformed++
	}
	if len(out.lines) > 0 {
		x.families = append(x.families, out)
	}
}

// longestBound is the room that a suffix, a bound and punctuation take.
const longestBound = 64

func (x *fixed) fits(series *health.Series, bytes int) bool {
	return (maxFixed-len(x.text))/(len(series.Bounds)+3) >= bytes+longestBound
}

// labels returns the label set up to the node's name and after it, without
// the closing brace, and whether it is well formed.
func labels(series *health.Series, kind health.Type) (head, tail string, ok bool) {
	sorted := series.Labels
	if !slices.IsSortedFunc(sorted, byName) {
		sorted = slices.SortedStableFunc(slices.Values(sorted), byName)
	}
	before, after := []byte{'{'}, []byte{'"'}
	last := ""
	for _, l := range sorted {
		switch {
		case l.Name == NodeLabel: // ours wins
			continue
		case l.Name == last, !validLabelName(l.Name),
			kind == health.Histogram && l.Name == "le",
			kind == health.Summary && l.Name == "quantile":
			return "", "", false
		}
		last = l.Name
		if l.Name < NodeLabel {
			before = append(before, l.Name+`="`+escapedLabel(l.Value)+`",`...)
		} else {
			after = append(after, `,`+l.Name+`="`+escapedLabel(l.Value)+`"`...)
		}
	}
	ok = true
	for i, b := range series.Bounds {
		ok = ok && !math.IsNaN(b) && !math.IsInf(b, +1) && (i == 0 || b > series.Bounds[i-1])
	}
	return string(append(before, NodeLabel+`="`...)), string(after), ok
}

func byName(a, b health.Label) int { return cmp.Compare(a.Name, b.Name) }

// layout writes the lines of one series.
type layout struct {
	*fixed
	family        *fixedFamily
	series, value uint32 // value is the index of the series' first one
	head, tail    string
}

func (l *layout) lay(series *health.Series, f Format) {
	bounds := uint32(len(series.Bounds))
	switch l.family.kind {
	case health.Histogram:
		for i, b := range series.Bounds {
			l.line("_bucket", `,le="`+f.bound(b)+`"`, uint32(i))
		}
		l.line("_bucket", `,le="+Inf"`, bounds+1)
	case health.Summary:
		for i, q := range series.Bounds {
			l.line("", `,quantile="`+f.bound(q)+`"`, uint32(i))
		}
	default:
		l.line("", "", 0)
		return
	}
	l.line("_sum", "", bounds)
	l.line("_count", "", bounds+1)
}

// line writes the sample whose value is the nth of the series.
func (l *layout) line(suffix, extra string, nth uint32) {
	l.text = append(l.text, l.family.Name...)
	l.text = append(l.text, suffix...)
	l.text = append(l.text, l.head...)
	node := uint32(len(l.text))
	l.text = append(l.text, l.tail...)
	l.text = append(l.text, extra...)
	l.text = append(l.text, "} "...)
	l.family.lines = append(l.family.lines, line{node, uint32(len(l.text)), l.value + nth, l.series})
}

// append renders a family of n.
func (x *fixed) append(dst []byte, family int, n *shown, sel selection, scope scope) []byte {
	f := &x.families[family]
	start := f.start
	for _, l := range f.lines {
		if scope == whole || sel.has(&f.Series[l.series]) {
			dst = append(dst, x.text[start:l.node]...)
			dst = append(dst, n.label...)
			dst = append(dst, x.text[l.node:l.end]...)
			dst = appendValue(dst, n.values[l.value])
			dst = append(dst, n.stamp...)
			dst = append(dst, '\n')
		}
		start = l.end
	}
	return dst
}
