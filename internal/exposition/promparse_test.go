package exposition

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// entry is what promparse prints, see tools/prometheus/promparse.
type entry struct {
	Kind, Name, Text string
	Labels           map[string]string
	Millis           *int64
	Bits             uint64
	Histogram        *struct {
		Schema             int32
		ZeroThreshold      float64 `json:"zero_threshold"`
		Count, Zeros       float64
		Negative, Positive map[int32]float64
	}
	Error string
}

// facts are what an answer says, each under what it says it of.
type facts map[string]string

// promparse is Prometheus' own parsers, waiting for answers.
type promparse struct {
	in  *bufio.Writer
	out *json.Decoder
}

func startPromparse(t *testing.T) *promparse {
	t.Helper()
	cmd := exec.Command(real.Binary(t, "promparse"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	complaints := &bytes.Buffer{}
	cmd.Stderr = complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("promparse: %v\n%s", err, complaints)
		}
	})
	return &promparse{bufio.NewWriter(in), json.NewDecoder(bufio.NewReader(out))}
}

// facts returns what Prometheus takes from an answer, and fails when that is
// nothing, or a series twice.
func (p *promparse) facts(t *testing.T, f Format, answer string) facts {
	t.Helper()
	for _, field := range []string{f.ContentType(), answer} {
		_, _ = p.in.Write(binary.BigEndian.AppendUint32(nil, uint32(len(field))))
		_, _ = p.in.WriteString(field)
	}
	if err := p.in.Flush(); err != nil {
		t.Fatal(err)
	}
	all := facts{}
	for {
		var e entry
		if err := p.out.Decode(&e); err != nil {
			t.Fatal(err)
		}
		subject, what := e.Name, e.Text
		switch e.Kind {
		case "end":
			if e.Error != "" {
				t.Errorf("Prometheus takes nothing of an answer in %s: %s\n%.10000q", f.ContentType(), e.Error, answer)
			}
			return all
		case "help":
			if what == "" {
				continue // as if there was none
			}
		case "sample":
			subject, what = subjectOf(e.Labels), value(e.Millis, e.Bits)
		case "histogram":
			h := e.Histogram
			subject = subjectOf(e.Labels)
			what = native(value(e.Millis, e.Bits), h.Schema, h.ZeroThreshold, h.Count, h.Zeros, h.Negative, h.Positive)
		}
		subject = e.Kind + " " + subject
		if _, twice := all[subject]; twice {
			t.Errorf("%s: told twice: %s\n%.10000q", f.ContentType(), subject, answer)
		}
		all[subject] = what
	}
}

// subjectOf writes a label set. Those without a value are as good as absent.
func subjectOf(labels map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if labels[name] != "" {
			fmt.Fprintf(&b, "%s=%q,", name, labels[name])
		}
	}
	return b.String()
}

// value tells values apart by their bits, so that NaN equals itself.
func value(millis *int64, bits uint64) string {
	if millis != nil {
		return fmt.Sprintf("%v at %d", math.Float64frombits(bits), *millis)
	}
	return fmt.Sprint(math.Float64frombits(bits))
}

func native(sum string, schema int32, threshold, count, zeros float64, negative, positive map[int32]float64) string {
	return fmt.Sprintf("sum %s, schema %d, %v up to %v, %v: %v %v", sum, schema, zeros, threshold, count, negative, positive)
}

// expected is what Prometheus should take from families in a format.
type expected struct {
	facts
	format Format
	family *dto.MetricFamily
	metric *dto.Metric
}

func expect(f Format, families []*dto.MetricFamily) facts {
	x := expected{facts: facts{}, format: f}
	for _, mf := range families {
		x.family = mf
		x.describe()
		for _, m := range mf.Metric {
			x.metric = m
			x.samples()
		}
	}
	return x.facts
}

func (x *expected) describe() {
	name, word := x.family.GetName(), strings.ToLower(x.family.GetType().String())
	if word == "untyped" {
		word = "unknown"
	}
	if base, suffixed := strings.CutSuffix(name, "_total"); word == "counter" && x.format == OpenMetrics {
		if name = base; !suffixed {
			word = "unknown" // OpenMetrics has no such counters
		}
	}
	x.facts["type "+name] = word
	if x.family.GetHelp() != "" {
		x.facts["help "+name] = x.family.GetHelp()
	}
}

func (x *expected) samples() {
	m := x.metric
	switch x.family.GetType() {
	case dto.MetricType_COUNTER:
		x.sample("", "", 0, m.Counter.GetValue())
	case dto.MetricType_GAUGE:
		x.sample("", "", 0, m.Gauge.GetValue())
	case dto.MetricType_UNTYPED:
		x.sample("", "", 0, m.Untyped.GetValue())
	case dto.MetricType_SUMMARY:
		for _, q := range m.Summary.Quantile {
			x.sample("", "quantile", q.GetQuantile(), q.GetValue())
		}
		x.sample("_sum", "", 0, m.Summary.GetSampleSum())
		x.sample("_count", "", 0, float64(m.Summary.GetSampleCount()))
	case dto.MetricType_HISTOGRAM:
		x.histogram(m.Histogram)
	}
}

func (x *expected) histogram(h *dto.Histogram) {
	total := float64(h.GetSampleCount())
	if h.Schema != nil && x.format == Protobuf {
		x.facts["histogram "+x.subject("", "", 0)] = native(value(x.metric.TimestampMs, math.Float64bits(h.GetSampleSum())),
			h.GetSchema(), h.GetZeroThreshold(), total, float64(h.GetZeroCount()),
			buckets(h.NegativeSpan, h.NegativeDelta), buckets(h.PositiveSpan, h.PositiveDelta))
		if len(h.Bucket) == 0 {
			return // then it is a native histogram and no other
		}
	}
	for _, b := range h.Bucket {
		x.sample("_bucket", "le", b.GetUpperBound(), float64(b.GetCumulativeCount()))
	}
	x.sample("_bucket", "le", math.Inf(1), total)
	x.sample("_sum", "", 0, h.GetSampleSum())
	x.sample("_count", "", 0, total)
}

// buckets lists the counts of buckets that are not empty, by index.
func buckets(spans []*dto.BucketSpan, deltas []int64) map[int32]float64 {
	all := map[int32]float64{}
	index, count := int32(0), int64(0)
	for _, s := range spans {
		index += s.GetOffset()
		for range s.GetLength() {
			if count += deltas[0]; count != 0 {
				all[index] = float64(count)
			}
			deltas, index = deltas[1:], index+1
		}
	}
	return all
}

func (x *expected) sample(suffix, extra string, bound, v float64) {
	x.facts["sample "+x.subject(suffix, extra, bound)] = value(x.metric.TimestampMs, math.Float64bits(v))
}

func (x *expected) subject(suffix, extra string, bound float64) string {
	labels := map[string]string{"__name__": x.family.GetName() + suffix}
	for _, l := range x.metric.Label {
		labels[l.GetName()] = l.GetValue()
	}
	if extra != "" { // Prometheus makes the bounds of all formats look alike
		labels[extra] = strconv.FormatFloat(bound, 'g', -1, 64)
		if !strings.ContainsAny(labels[extra], ".eI") {
			labels[extra] += ".0"
		}
	}
	return subjectOf(labels)
}

// Prometheus takes from every format, encoding and form exactly what the nodes
// say.
func TestPrometheusReadsWhatNodesSay(t *testing.T) {
	t.Parallel()
	p := startPromparse(t)
	stamp := noon.UnixMilli() - 2000
	for seed := range uint64(60) {
		v, families := generated(rand.New(rand.NewPCG(seed, 8)))
		o := Options{Encoding: Encoding(seed % 3), Timestamps: seed%2 == 0}
		if o.Timestamps {
			for _, mf := range families {
				for _, m := range mf.Metric {
					m.TimestampMs = &stamp
				}
			}
		}
		r := newRenderer()
		for f := range Format(len(formats)) {
			o.Format = f
			got := p.facts(t, f, decoded(t, o.Encoding, render(t, r, v, o)))
			up := 0
			maps.DeleteFunc(got, func(subject, _ string) bool {
				if strings.HasPrefix(subject, `sample __name__="grapevine_node_up"`) {
					up++
				}
				return aboutView(subject)
			})
			if diff := cmp.Diff(expect(f, families), got); diff != "" {
				t.Fatalf("seed %d, %s (-said +read):\n%.10000s", seed, f.ContentType(), diff)
			}
			if up != len(v.Nodes) {
				t.Errorf("seed %d, %s: %d nodes are up or not, want %d", seed, f.ContentType(), up, len(v.Nodes))
			}
		}
	}
}

// One node that says nonsense takes nobody's answer away, in whatever way
// Prometheus is told to read it.
func TestPrometheusReadsGarbage(t *testing.T) {
	t.Parallel()
	p := startPromparse(t)
	for seed := range uint64(300) {
		v, r := garbage(rand.New(rand.NewPCG(seed, 9))), newRenderer()
		for f := range Format(len(formats)) {
			p.facts(t, f, render(t, r, v, Options{Format: f}))
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
