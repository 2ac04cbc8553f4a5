package main

import (
	"fmt"
	"time"
)

// The kinds of scrapes.
const (
	first = "first" // after every node has changed
	next  = "next"  // with nothing changed since the one before
)

// The programs that the targets are about.
const (
	ours     = "grapevine"
	baseline = "pushgateway"
)

// scrapeCase is what is measured in one go.
type scrapeCase struct {
	peer, kind string
	nodes      int
	form       form
}

// results are the figures of all cases so far.
type results map[scrapeCase]figures

// line is key=value, with the baseline of the same run in relation to it.
func (r results) line(c scrapeCase, samples int) string {
	f := r[c]
	against := "none"
	if ratio, ok := r.ratio(c, func(f figures) float64 { return f.p50().Seconds() }); ok {
		against = fmt.Sprintf("%.2f", ratio)
	}
	return fmt.Sprintf("case=%s-%s nodes=%d %v p50_ms=%.3f p99_ms=%.3f cpu_s=%.5f bytes=%d rss_mb=%.1f vs_%s=%s runs=%d samples=%d",
		c.peer, c.kind, c.nodes, c.form, millis(f.p50()), millis(f.p99()), f.cpu, f.bytes, f.rss, baseline, against, len(f.took), samples)
}

func millis(d time.Duration) float64 { return d.Seconds() * 1e3 }

// ratio is what the baseline takes by what c takes, where both are known.
func (r results) ratio(c scrapeCase, what func(figures) float64) (float64, bool) {
	mine, ok := r[c]
	c.peer = baseline
	other, known := r[c]
	if !ok || !known {
		return 0, false
	}
	return what(other) / what(mine), true
}

// Where the targets hold, and how far growth from the one to the other is.
const (
	targetNodes = 1000
	grownNodes  = 5000
)

// goal is a relation to the baseline at targetNodes.
type goal struct {
	name string
	kind string
	form form
	what func(figures) float64
	want float64
}

func goals() []goal {
	text, gzip := form{"text", "identity"}, form{"text", "gzip"}
	p50 := func(f figures) float64 { return f.p50().Seconds() }
	cpu := func(f figures) float64 { return f.cpu }
	rss := func(f figures) float64 { return f.rss }
	return []goal{
		{"p50", first, text, p50, 25},
		{"p50", next, text, p50, 25},
		{"p50", first, gzip, p50, 25},
		{"p50", next, gzip, p50, 100},
		{"cpu", first, text, cpu, 10},
		{"cpu", first, gzip, cpu, 10},
		{"rss", next, text, rss, 4},
		{"rss", next, gzip, rss, 4},
	}
}

// linear is how much longer a scrape of five times as many nodes may take to
// count as linear: a fifth is left for caches that are too small.
const linear = 1.2 * grownNodes / targetNodes

// targets says of each target that was measured whether it is met.
func (r results) targets() []string {
	var lines []string
	for _, t := range goals() {
		if ratio, ok := r.ratio(scrapeCase{ours, t.kind, targetNodes, t.form}, t.what); ok {
			lines = append(lines, fmt.Sprintf("case=target target=%s-%s nodes=%d %v vs_%s=%.2f wanted=%v met=%v",
				t.name, t.kind, targetNodes, t.form, baseline, ratio, t.want, ratio >= t.want))
		}
	}
	for _, t := range goals()[:4] {
		small, ok := r[scrapeCase{ours, t.kind, targetNodes, t.form}]
		large, known := r[scrapeCase{ours, t.kind, grownNodes, t.form}]
		if ok && known {
			growth := t.what(large) / t.what(small)
			lines = append(lines, fmt.Sprintf("case=target target=growth-%s nodes=%d %v growth=%.2f wanted=%v met=%v",
				t.kind, grownNodes, t.form, growth, linear, growth <= linear))
		}
	}
	return lines
}
