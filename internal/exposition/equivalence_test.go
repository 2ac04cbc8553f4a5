package exposition

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
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
		if aboutView(line) {
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
	t.Parallel()
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
				maps.DeleteFunc(parsed, func(name string, _ *dto.MetricFamily) bool { return aboutView(name) })
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
	t.Parallel()
	for seed := range uint64(1000) {
		v := garbage(rand.New(rand.NewPCG(seed, 5)))
		r := newRenderer()
		parse(t, render(t, r, v, Options{}))
		checkMessages(t, render(t, r, v, Options{Format: Protobuf}))
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
