package exposition

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// generated is a View of random schemas and values, and the same as metric
// families of the client library in the order in which we write them.
func generated(rng *rand.Rand) (mesh.View, []*dto.MetricFamily) {
	words := []string{"", "x", "10.0.0.1:2379", `back\slash`, `qu"ote`, "new\nline", `\n`, "späť 葡萄", " "}
	word := func() string { return words[rng.IntN(len(words))] }
	values := []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e-9, 123456789, 1e15, -1e15, 1e20, 1e-300, math.MaxFloat64,
		math.NaN(), math.Inf(1), math.Inf(-1)}
	value := func() float64 {
		if rng.IntN(3) == 0 {
			return rng.NormFloat64() * 1e3
		}
		return values[rng.IntN(len(values))]
	}

	var schemas []*health.Schema
	for range 1 + rng.IntN(3) {
		s := &health.Schema{Version: "1.0.0"}
		for f := range 7 {
			if rng.IntN(4) == 0 {
				continue
			}
			family := health.Family{Name: fmt.Sprintf("grapevine_f%d", f), Type: health.Type(f % 5), Help: words[f]} // the first has none
			if f == 1 {                                                                                              // and the other counter, 6, has no suffix
				family.Name += "_total"
			}
			for i := range 1 + rng.IntN(3) {
				one := series("a", word(), "i", strconv.Itoa(i), "p", word())
				switch family.Type {
				case health.Histogram:
					one.Bounds = []float64{-1, 0, 0.5, 1, 2.5, 1e6}[:rng.IntN(7)]
					one.Native = generatedNative(rng)
				case health.Summary:
					one.Bounds = []float64{0, 0.5, 0.99, 1}[:rng.IntN(5)]
				}
				family.Series = append(family.Series, one)
			}
			s.Families = append(s.Families, family)
		}
		slices.SortFunc(s.Families, func(a, b health.Family) int { return strings.Compare(a.Name, b.Name) })
		schemas = append(schemas, s)
	}

	nodes := 4
	if rng.IntN(40) == 0 {
		nodes = 300 // so that some families are split
	}
	var v mesh.View
	for i := range nodes {
		s := schemas[rng.IntN(len(schemas))]
		var all []float64
		for _, f := range s.Families {
			for _, one := range f.Series {
				switch f.Type {
				case health.Summary:
					for range one.Bounds {
						all = append(all, value())
					}
					all = append(all, value(), float64(rng.Uint64N(1<<rng.IntN(53))))
				case health.Histogram:
					all = append(all, observed(rng, one, value())...)
				default:
					all = append(all, value())
				}
			}
		}
		v.Nodes = append(v.Nodes, node(fmt.Sprintf("n%03d", i)+word(), s, all...))
		if rng.IntN(6) == 0 {
			v.Nodes = append(v.Nodes, mesh.Node{Name: fmt.Sprintf("n%03d silent", i), Age: -1})
		}
	}
	v.Self = v.Nodes[0].Name
	return v, clientFamilies(v)
}

// aboutView reports whether the answering node says that, and no other.
func aboutView(text string) bool {
	return slices.ContainsFunc(own, func(o ownFamily) bool { return strings.Contains(text, o.Name) })
}

// observed is the values of a histogram of some observations.
func observed(rng *rand.Rand, s health.Series, sum float64) []float64 {
	total := uint64(0)
	count := func() float64 {
		c := rng.Uint64N(1 << rng.IntN(40)) // most are small
		total += c
		return float64(c)
	}
	var native []float64
	for range s.Native.Width() {
		native = append(native, count())
	}
	if native == nil || math.IsNaN(sum) {
		count() // what is not a number is in no bucket
	}
	var values []float64
	for range s.Bounds {
		values = append(values, float64(rng.Uint64N(total+1)))
	}
	slices.Sort(values)
	return append(append(values, sum, float64(total)), native...)
}

// clientFamilies builds what the client library would have gathered.
func clientFamilies(v mesh.View) []*dto.MetricFamily {
	byName := map[string]*dto.MetricFamily{}
	var names []string
	for _, n := range v.Nodes {
		if n.Snapshot == nil {
			continue
		}
		at := 0
		for _, f := range n.Snapshot.Schema.Families {
			mf := byName[f.Name]
			if mf == nil {
				kind := []dto.MetricType{
					dto.MetricType_UNTYPED, dto.MetricType_COUNTER, dto.MetricType_GAUGE,
					dto.MetricType_SUMMARY, dto.MetricType_HISTOGRAM,
				}[f.Type]
				mf = &dto.MetricFamily{Name: &f.Name, Type: &kind}
				if f.Help != "" {
					mf.Help = &f.Help
				}
				byName[f.Name] = mf
				names = append(names, f.Name)
			}
			for _, one := range f.Series {
				width := one.Width(f.Type)
				m := clientMetric(f.Type, one, n.Snapshot.Values[at:at+width])
				m.Label = withNode(m.Label, n.Name)
				mf.Metric = append(mf.Metric, m)
				at += width
			}
		}
	}
	slices.Sort(names)
	var families []*dto.MetricFamily
	for _, name := range names {
		families = append(families, byName[name])
	}
	return families
}

func clientMetric(t health.Type, s health.Series, values []float64) *dto.Metric {
	m := &dto.Metric{}
	for _, l := range s.Labels {
		m.Label = append(m.Label, &dto.LabelPair{Name: &l.Name, Value: &l.Value})
	}
	switch t {
	case health.Counter:
		m.Counter = &dto.Counter{Value: &values[0]}
	case health.Gauge:
		m.Gauge = &dto.Gauge{Value: &values[0]}
	case health.Untyped:
		m.Untyped = &dto.Untyped{Value: &values[0]}
	case health.Summary:
		count := uint64(values[len(values)-1])
		m.Summary = &dto.Summary{SampleSum: &values[len(values)-2], SampleCount: &count}
		for i := range s.Bounds {
			m.Summary.Quantile = append(m.Summary.Quantile, &dto.Quantile{Quantile: &s.Bounds[i], Value: &values[i]})
		}
	case health.Histogram:
		sum := len(s.Bounds)
		count := uint64(values[sum+1])
		m.Histogram = &dto.Histogram{SampleSum: &values[sum], SampleCount: &count}
		clientNative(m.Histogram, s.Native, values[sum+2:])
		for i := range s.Bounds {
			below := uint64(values[i])
			m.Histogram.Bucket = append(m.Histogram.Bucket, &dto.Bucket{UpperBound: &s.Bounds[i], CumulativeCount: &below})
		}
	}
	return m
}

// garbage is a View of nodes that say what no node should.
func garbage(rng *rand.Rand) mesh.View {
	pieces := []string{"", "x", "_sum", "_count", "_bucket", "_total", "le", "quantile", "node", "__name__", "\xff", "\n", `"`, `\`,
		"{", "}", " ", "#", "é", "0", ":", "grapevine_node_up", "# TYPE x gauge\n"}
	word := func() string {
		var b strings.Builder
		for range 1 + rng.IntN(3) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		return b.String()
	}
	spans := []health.Span{{Offset: math.MinInt32, Length: 1}, {Offset: -1, Length: 2}, {}, {Length: 3}}
	values := []float64{0, 1, 2, 2.5, -1, 1 << 63, 1e300, math.NaN(), math.Inf(1), math.Inf(-1)}
	var v mesh.View
	for range 3 {
		s := &health.Schema{Version: word()}
		for range 4 {
			family := health.Family{Name: word(), Help: word(), Type: health.Type(rng.IntN(7))}
			if rng.IntN(2) == 0 {
				family.Name = "x" + pieces[rng.IntN(6)]
			}
			for range rng.IntN(3) {
				one := series(word(), word(), word(), word())
				if rng.IntN(2) == 0 {
					one = series("a", word())
				}
				one.Bounds = [][]float64{nil, {1}, {1, 2}, {2, 1}, {math.NaN()}, {math.Inf(1)}}[rng.IntN(6)]
				if one.Native = generatedNative(rng); one.Native != nil && rng.IntN(4) == 0 {
					one.Native.Schema, one.Native.Positive = int32(rng.IntN(40)-20), spans[:rng.IntN(4)]
				}
				family.Series = append(family.Series, one)
			}
			s.Families = append(s.Families, family)
		}
		all := make([]float64, s.Width())
		if rng.IntN(3) > 0 {
			for i := range all {
				all[i] = values[rng.IntN(len(values))]
			}
		}
		v.Nodes = append(v.Nodes, node(word()+strconv.Itoa(len(v.Nodes)), s, all...))
	}
	return v
}
