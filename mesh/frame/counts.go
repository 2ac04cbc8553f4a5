package frame

import "github.com/grapevine-mesh/grapevine/health"

// countCoder codes what is in native buckets. It is a text of its own, after
// which nothing comes that an older reader wants: who knows of no native
// buckets reads all other values as if there were none.
//
// A histogram's count, which has been read by then, says how much is left for
// its buckets: most counts are a fair part of that, the last is all of it, and
// the buckets after it are empty.
type countCoder struct {
	*coder
	empty [2][4]chance // by whether something is left, and whether the two buckets before were
	all   [2]chance    // all that is left, by whether another bucket had some
	of    numbers
}

// counts codes those among the values that go with a schema; when reading, it
// fills them in.
func (c *countCoder) counts(s *health.Schema, values []float64) {
	for i := range s.Families {
		f := &s.Families[i]
		if f.Type != health.Histogram {
			values = values[f.Width():]
			continue
		}
		for j := range f.Series {
			series := &f.Series[j]
			width := series.Width(f.Type)
			if classic := width - series.Native.Width(); classic < width {
				c.histogram(values[classic-1], values[classic:width])
			}
			values = values[width:]
		}
	}
}

// histogram codes the buckets of one. left is its count.
func (c *countCoder) histogram(left float64, of []float64) {
	before, had := 0b11, 0
	for i := range of {
		some := 0
		if left > 0 {
			some = 1
		}
		empty := c.flag(&c.empty[some][before], same(of[i], 0))
		if before = before << 1 & 0b11; empty {
			before |= 1
			of[i] = 0
			continue
		}
		if c.flag(&c.all[had], same(of[i], left)) {
			of[i] = left
		} else {
			of[i] = c.of.number(c.coder, of[i], 0)
		}
		left, had = left-of[i], 1
	}
}
