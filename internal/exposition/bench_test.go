package exposition

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// largeView has nodes that share one schema of families of ten series each.
func largeView(nodes, perNode int) mesh.View {
	schema := &health.Schema{Version: "1.0.0"}
	for f := range perNode / 10 {
		family := gauge(fmt.Sprintf("grapevine_bench_%03d_seconds", f), "A gauge of the benchmark.")
		for s := range 10 {
			family.Series = append(family.Series, series("check", "bench", "subject", fmt.Sprintf("10.0.0.%d:2379", s)))
		}
		schema.Families = append(schema.Families, family)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	v := mesh.View{Self: "node-0000"}
	for n := range nodes {
		values := make([]float64, schema.Width())
		for i := range values {
			if values[i] = float64(rng.IntN(1e6)); i%3 == 0 {
				values[i] /= 1e4
			}
		}
		v.Nodes = append(v.Nodes, node(fmt.Sprintf("node-%04d", n), schema, values...))
	}
	return v
}

// changed is v with every node saying something else.
func changed(v mesh.View) mesh.View {
	v.Nodes = slices.Clone(v.Nodes)
	for i := range v.Nodes {
		if v.Nodes[i].Snapshot == nil {
			continue
		}
		s := *v.Nodes[i].Snapshot
		s.Values = slices.Clone(s.Values)
		for j := range s.Values {
			s.Values[j]++
		}
		v.Nodes[i].Snapshot = &s
		v.Nodes[i].Version++
	}
	return v
}

// BenchmarkWrite renders a thousand nodes: again, with nothing changed, and
// with everything changed.
func BenchmarkWrite(b *testing.B) {
	shared := largeView(1000, 100)
	own := largeView(1000, 100)
	for i := range own.Nodes { // as if no two nodes had the same devices
		s := *own.Nodes[i].Snapshot.Schema
		own.Nodes[i].Snapshot.Schema = &s
	}
	for _, bc := range []struct {
		name string
		view mesh.View
		opts Options
	}{
		{"text", shared, Options{}},
		{"openmetrics", shared, Options{Format: OpenMetrics}},
		{"gzip", shared, Options{Encoding: Gzip}},
		{"zstd", shared, Options{Encoding: Zstd}},
		{"protobuf", shared, Options{Format: Protobuf}},
		{"protobuf-gzip", shared, Options{Format: Protobuf, Encoding: Gzip}},
		{"timestamps", shared, Options{Timestamps: true}},
		{"one-node", shared, Options{Nodes: []string{"node-0500"}}},
		{"one-check", shared, Options{Checks: []string{"bench-001"}, Encoding: Gzip}},
		{"schema-each", own, Options{}},
	} {
		next := changed(bc.view)
		for _, again := range []bool{true, false} {
			views := []mesh.View{bc.view, next}
			name := bc.name + "/changed"
			if again {
				views, name = views[:1], bc.name+"/again"
			}
			b.Run(name, func(b *testing.B) {
				r := newRenderer()
				var bytes counter
				if err := r.Write(&bytes, bc.view, bc.opts); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(bytes))
				b.ReportAllocs()
				for i := 1; b.Loop(); i++ {
					if err := r.Write(io.Discard, views[i%len(views)], bc.opts); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if err := newRenderer().Write(io.Discard, own, Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// A scrape costs nothing a series, whatever their number, their format and
// encoding. A part of the View is planned each time, which costs a few a family.
func TestNoAllocationPerSeries(t *testing.T) {
	const nodes, few, many = 20, 10, 400 // series a node, ten a family
	for f := range Format(len(formats)) {
		for e := range Encoding(len(encodings)) {
			for _, tc := range []struct {
				opts  Options
				limit float64
			}{
				{Options{Format: f, Encoding: e}, 30},
				{Options{Format: f, Encoding: e, Shard: Shard{Of: 1}, Timestamps: true}, 8 * (many - few) / 10},
				{Options{Format: f, Encoding: e, Shard: Shard{Of: 1}, Checks: []string{"bench"}}, 8 * (many - few) / 10},
			} {
				allocs := func(perNode int) float64 {
					r, v := newRenderer(), largeView(nodes, perNode)
					least := math.Inf(+1)
					for range 8 { // the race detector empties pools now and then
						least = min(least, testing.AllocsPerRun(1, func() {
							if err := r.Write(io.Discard, v, tc.opts); err != nil {
								t.Fatal(err)
							}
						}))
					}
					return least
				}
				if a, b := allocs(few), allocs(many); b > a+tc.limit {
					t.Errorf("%+v: %v allocations with %d series a node, %v with %d", tc.opts, a, few, b, many)
				}
			}
		}
	}
}
