package exposition

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// parse reads text as every tool built on expfmt does.
func parse(t testing.TB, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("parsing: %v\n%s", err, text)
	}
	return families
}

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
			family := health.Family{Name: fmt.Sprintf("grapevine_f%d", f), Type: health.Type(f % 5), Help: words[f]}
			if f == 1 { // and the other counter, 6, has no suffix
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

	v := mesh.View{Self: "n0"}
	for i := range 4 {
		s := schemas[rng.IntN(len(schemas))]
		var all []float64
		for _, f := range s.Families {
			for _, one := range f.Series {
				for w := range one.Width(f.Type) {
					x := value()
					counts := f.Type == health.Histogram && w != len(one.Bounds)
					if counts || f.Type == health.Summary && w == len(one.Bounds)+1 {
						x = float64(rng.IntN(1e9))
					}
					all = append(all, x)
				}
			}
		}
		v.Nodes = append(v.Nodes, node(fmt.Sprintf("n%d", i)+words[i], s, all...))
	}
	return v, clientFamilies(v)
}

// clientFamilies builds what the client library would have gathered.
func clientFamilies(v mesh.View) []*dto.MetricFamily {
	byName := map[string]*dto.MetricFamily{}
	var names []string
	for _, n := range v.Nodes {
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

// encode is the client library's own rendering of families.
func encode(t *testing.T, families []*dto.MetricFamily, format expfmt.FormatType) string {
	t.Helper()
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, expfmt.NewFormat(format))
	for _, mf := range families {
		if err := enc.Encode(mf); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.(expfmt.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sampleLines writes every value by its bits, so that 1.0 and 1 are the same
// and NaN equals itself, and leaves out the answering node's own gauges.
func sampleLines(t *testing.T, text string) []string {
	t.Helper()
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "grapevine_node_") || strings.Contains(line, "grapevine_mesh_") {
			continue
		}
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			f, err := strconv.ParseFloat(line[at+1:], 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if f == 0 {
				f = math.Abs(f) // the client library loses the sign of zero
			}
			line = fmt.Sprintf("%s %x", line[:at], math.Float64bits(f))
		}
		lines = append(lines, line)
	}
	return lines
}

func TestSameAsClientLibrary(t *testing.T) {
	for seed := range uint64(300) {
		v, want := generated(rand.New(rand.NewPCG(seed, 2)))
		r := newRenderer()
		for _, f := range []struct {
			ours   Format
			theirs expfmt.FormatType
		}{{Text, expfmt.TypeTextPlain}, {OpenMetrics, expfmt.TypeOpenMetrics}} {
			got := render(t, r, v, Options{Format: f.ours})
			if diff := cmp.Diff(sampleLines(t, encode(t, want, f.theirs)), sampleLines(t, got)); diff != "" {
				t.Fatalf("seed %d, %v (-client library +ours):\n%s", seed, f.ours.ContentType(), diff)
			}
			if f.ours == Text {
				// What expfmt reads back it writes as it wrote the original.
				parsed := parse(t, got)
				delete(parsed, "grapevine_node_up")
				delete(parsed, "grapevine_mesh_cluster_scraped_nodes")
				delete(parsed, "grapevine_mesh_scrape_complete")
				delete(parsed, "grapevine_node_snapshot_age_seconds")
				var back []*dto.MetricFamily
				for _, mf := range want {
					back = append(back, parsed[mf.GetName()])
				}
				if diff := cmp.Diff(encode(t, want, f.theirs), encode(t, back, f.theirs)); diff != "" {
					t.Fatalf("seed %d (-original +read back):\n%s", seed, diff)
				}
				if len(parsed) != len(want) {
					t.Fatalf("seed %d: %d families, want %d", seed, len(parsed), len(want))
				}
			}
		}
	}
}

// Whatever nodes say, the answer is one that can be read.
func TestGarbageStillParses(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 5))
		pieces := []string{"", "x", "_sum", "_count", "_bucket", "_total", "le", "quantile", "node", "__name__", "\xff", "\n", `"`, `\`,
			"{", "}", " ", "#", "é", "0", ":", "grapevine_node_up", "# TYPE x gauge\n"}
		word := func() string {
			var b strings.Builder
			for range 1 + rng.IntN(3) {
				b.WriteString(pieces[rng.IntN(len(pieces))])
			}
			return b.String()
		}
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
					one.Native = generatedNative(rng)
					family.Series = append(family.Series, one)
				}
				s.Families = append(s.Families, family)
			}
			values := make([]float64, s.Width())
			v.Nodes = append(v.Nodes, node(word()+strconv.Itoa(len(v.Nodes)), s, values...))
		}
		parse(t, render(t, newRenderer(), v, Options{}))
	}
}

func TestValuesReadBackExactly(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	values := []float64{0, math.Copysign(0, -1), 1, -1, 1e15 - 1, 1e15, 1e15 + 1, -1e15, 1 << 53, 0.1, math.MaxFloat64,
		math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1)}
	for range 10_000 {
		values = append(values, math.Float64frombits(rng.Uint64()), float64(rng.Int64N(1e16)), float64(rng.IntN(1e9))/1e3)
	}
	for _, want := range values {
		text := string(appendValue(nil, want))
		got, err := strconv.ParseFloat(text, 64)
		if err != nil || math.Float64bits(got) != math.Float64bits(want) && !math.IsNaN(want) {
			t.Fatalf("%v is written %q and read back as %v (%v)", want, text, got, err)
		}
	}
}
