package exposition

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// messagesOf splits an answer in Protobuf into its messages.
func messagesOf(t testing.TB, answer string) []string {
	t.Helper()
	var all []string
	for rest := []byte(answer); len(rest) > 0; {
		message, n := protowire.ConsumeBytes(rest)
		if n < 0 {
			t.Fatalf("message %d: %v, %d bytes are left", len(all), protowire.ParseError(n), len(rest))
		}
		all = append(all, string(message))
		rest = rest[n:]
	}
	return all
}

// checkMessages reads an answer in Protobuf as every tool built on expfmt does.
func checkMessages(t testing.TB, answer string) map[string]*dto.MetricFamily {
	t.Helper()
	decoder := expfmt.NewDecoder(strings.NewReader(answer), expfmt.NewFormat(expfmt.TypeProtoDelim))
	families := map[string]*dto.MetricFamily{}
	for {
		var mf dto.MetricFamily
		if err := decoder.Decode(&mf); errors.Is(err, io.EOF) {
			return families
		} else if err != nil {
			t.Fatalf("after %d families: %v", len(families), err)
		}
		if families[mf.GetName()] != nil || len(mf.Metric) == 0 || len(mf.ProtoReflect().GetUnknown()) > 0 {
			t.Fatalf("family %v is told twice, is empty or has unknown fields", &mf)
		}
		families[mf.GetName()] = &mf
	}
}

// Every byte is as the client library writes it, however the answer is made
// and packed.
func TestSameMessagesAsClientLibrary(t *testing.T) {
	t.Parallel()
	stamp := noon.UnixMilli() - 2000
	parts, shared := 0, 0
	for seed := range uint64(200) {
		v, families := generated(rand.New(rand.NewPCG(seed, 6)))
		o := Options{Format: Protobuf, Timestamps: seed%2 == 0, Encoding: Encoding(seed % 3)}
		if o.Timestamps {
			for _, mf := range families {
				for _, m := range mf.Metric {
					m.TimestampMs = &stamp
				}
			}
		}
		want := messagesOf(t, encode(t, families, expfmt.TypeProtoDelim))
		r := newRenderer()
		for range 2 { // anew, and from the shelf
			got := slices.DeleteFunc(messagesOf(t, decoded(t, o.Encoding, render(t, r, v, o))), func(m string) bool {
				return aboutView(m[:60])
			})
			if !slices.Equal(want, got) {
				for i := range min(len(want), len(got)) {
					if want[i] != got[i] {
						t.Fatalf("seed %d, family %d (-client library +ours):\n%s", seed, i, cmp.Diff(readable(t, want[i]), readable(t, got[i])))
					}
				}
				t.Fatalf("seed %d: %d families, want %d", seed, len(got), len(want))
			}
		}
		for _, s := range r.caches[Protobuf].plan.form.sections {
			if s.part {
				parts++
			} else if s.families[1]-s.families[0] > 1 {
				shared++
			}
		}
	}
	if parts < 5 || shared < 20 {
		t.Errorf("%d sections are parts of a family, %d have several: too few for the test", parts, shared)
	}
}

// readable is a message with a line for each metric.
func readable(t *testing.T, message string) string {
	var mf dto.MetricFamily
	if err := proto.Unmarshal([]byte(message), &mf); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(fmt.Sprint(&mf), " metric:", "\nmetric:")
}

// The length before a family is that of what follows: for parts of the View,
// for what is on the shelf and what no longer is, whatever nodes say.
func TestLengthsAreTrue(t *testing.T) {
	t.Parallel()
	large := largeView(300, 50)
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 7))
		v, _ := generated(rng)
		views := []mesh.View{v, garbage(rng), changed(v)}
		if seed == 0 {
			views = append(views, large, changed(large))
		}
		r := newRenderer()
		for _, v := range append(views, views...) {
			for _, o := range []Options{
				{}, {Timestamps: true}, {Nodes: []string{v.Nodes[0].Name}}, {Shard: Shard{1, 3}},
				{Checks: []string{"f1", "bench"}}, {Checks: []string{"bench-001"}},
			} {
				o.Format = Protobuf
				checkMessages(t, render(t, r, v, o))
			}
		}
	}
}

// A count that is none must not keep others from being read.
func TestImpossibleCounts(t *testing.T) {
	native := &health.Native{Positive: []health.Span{{Offset: -3, Length: 2}}}
	s := bounded(series(), 1, 2, 3)
	s.Native = native
	schema := &health.Schema{Families: []health.Family{
		{Name: "h", Type: health.Histogram, Series: []health.Series{s}},
		{Name: "s", Type: health.Summary, Series: []health.Series{series()}},
	}}
	for _, tc := range []struct {
		name   string
		values []float64 // of the histogram
		below  []uint64
		total  uint64
		native bool
	}{
		{"as they should be", []float64{1, 2, 3, 0.5, 4, 1, 1, 2}, []uint64{1, 2, 3}, 4, true},
		{"not whole", []float64{1.5, 2, 2.9, 0.5, 4.2, 1.3, 1.4, 2.5}, []uint64{1, 2, 2}, 4, true},
		{"negative", []float64{-1, -2, 3, 0.5, 4, -1, 1, 3}, []uint64{0, 0, 3}, 4, true},
		{"not ascending", []float64{3, 2, 9, 0.5, 4, 1, 1, 2}, []uint64{3, 3, 4}, 4, true},
		{"too few buckets", []float64{1, 2, 3, 0.5, 4, 1, 1, 1}, []uint64{1, 2, 3}, 4, false},
		{"too few buckets, but some not a number", []float64{1, 2, 3, math.NaN(), 4, 1, 1, 1}, []uint64{1, 2, 3}, 4, true},
		{"too many buckets", []float64{1, 2, 3, math.NaN(), 4, 1, 1, 3}, []uint64{1, 2, 3}, 4, false},
		{"too many zeros", []float64{1, 2, 3, 0.5, 4, 5, 0, 0}, []uint64{1, 2, 3}, 4, false},
		{"not a number", []float64{math.NaN(), 2, 3, 0.5, math.NaN(), 0, 0, 0}, []uint64{0, 0, 0}, 0, true},
		{"too large", []float64{1, 1e30, math.Inf(1), 0.5, math.Inf(1), 0, 0, math.Inf(1)}, []uint64{1, math.MaxInt64, math.MaxInt64}, math.MaxInt64, true},
	} {
		values := append(tc.values, 5, -3) // of the summary
		families := checkMessages(t, render(t, newRenderer(), mesh.View{Nodes: []mesh.Node{node("n", schema, values...)}}, Options{Format: Protobuf}))
		h := families["h"].Metric[0].Histogram
		var below []uint64
		for _, b := range h.Bucket {
			below = append(below, b.GetCumulativeCount())
		}
		if !slices.Equal(below, tc.below) || h.GetSampleCount() != tc.total || (h.Schema != nil) != tc.native {
			t.Errorf("%s: %v", tc.name, h)
		}
		if s := families["s"].Metric[0].Summary; s.GetSampleCount() != 0 || s.GetSampleSum() != 5 {
			t.Errorf("%s: %v", tc.name, s)
		}
	}
}

// A family of which nothing is shown is not told at all, and an answer may
// have none.
func TestNoEmptyMessages(t *testing.T) {
	for _, o := range []Options{{Nodes: []string{"x"}}, {Checks: []string{"dns"}, Nodes: []string{"x"}}} {
		o.Format = Protobuf
		if got := render(t, newRenderer(), clusterView(), o); got != "" {
			t.Errorf("%+v: %q", o, got)
		}
	}
	families := checkMessages(t, render(t, newRenderer(), clusterView(), Options{Format: Protobuf, Checks: []string{"disk"}}))
	if n := len(families["grapevine_check_status"].Metric); n != 2 || families["grapevine_etcd_reads_total"] != nil {
		t.Errorf("%d verdicts of one check of two nodes in %v", n, families)
	}
}
