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
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
