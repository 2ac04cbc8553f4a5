package exposition

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// A bad peer loses its own series and nobody else's.
func TestMalformed(t *testing.T) {
	good := gauge("grapevine_good", "Good.", series("a", "1"))
	for _, tc := range []struct {
		name   string
		family health.Family
		values []float64
		want   string // of the bad family, sample lines only
	}{
		{"family name", gauge("grapevine bad\nx 1", "", series()), []float64{1}, ""},
		{"label name", gauge("bad", "", series("a b", "1"), series("ok", "1")), []float64{1, 2}, `bad{node="n",ok="1"} 2`},
		{"metric name as label", gauge("bad", "", series("__name__", "x")), []float64{1}, ""},
		{"twice the same", gauge("bad", "", series("a", "1"), series("a", "1")), []float64{1, 2}, `bad{a="1",node="n"} 1`},
		{"twice the same without node", gauge("bad", "", series("node", "x"), series("node", "y")), []float64{1, 2}, `bad{node="n"} 1`},
		{"label twice", gauge("bad", "", series("a", "1", "a", "2")), []float64{1}, ""},
		{"labels not sorted", gauge("bad", "", series("z", "1", "b", "2")), []float64{1}, `bad{b="2",node="n",z="1"} 1`},
		{"not UTF-8", gauge("bad", "", series("a", "x\xff")), []float64{1}, "bad{a=\"x\uFFFD\",node=\"n\"} 1"},
		{
			"own le", health.Family{Name: "bad", Type: health.Histogram, Series: []health.Series{series("le", "1")}},
			[]float64{1, 2}, "",
		},
		{
			"bounds not ascending", health.Family{Name: "bad", Type: health.Histogram, Series: []health.Series{bounded(series(), 2, 1)}},
			[]float64{1, 2, 3, 4}, "",
		},
		{
			"type of the future", health.Family{Name: "bad", Type: health.Histogram + 1, Series: []health.Series{series()}},
			[]float64{1}, `bad{node="n"} 1`,
		},
		{"node's own gauge", gauge("grapevine_node_up", "Lies.", series()), []float64{5}, ""},
		{"values too few", gauge("bad", "", series()), nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := &health.Schema{Families: []health.Family{tc.family, good}}
			values := append(append([]float64{}, tc.values...), 7)
			v := mesh.View{Nodes: []mesh.Node{
				node("m", &health.Schema{Families: []health.Family{good}}, 6),
				node("n", bad, values...),
			}}
			text := render(t, newRenderer(), v, Options{})
			var got []string
			for _, line := range strings.Split(text, "\n") {
				if strings.HasPrefix(line, "bad") || strings.Contains(line, "grapevine bad") {
					got = append(got, line)
				}
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("bad family (-want +got):\n%s", diff)
			}
			if !strings.Contains(text, "grapevine_good{a=\"1\",node=\"m\"} 6\n") {
				t.Errorf("the other node's series is gone:\n%s", text)
			}
			parse(t, text)
		})
	}
}

func TestHugeSchemaIsCut(t *testing.T) {
	bounds := make([]float64, 20_000)
	for i := range bounds {
		bounds[i] = float64(i)
	}
	huge := health.Family{Name: "huge", Type: health.Histogram,
		Series: []health.Series{bounded(series("a", strings.Repeat("x", 1000)), bounds...)}}
	w := newWorkshop(Text)
	x := w.fix(&health.Schema{Families: []health.Family{huge, gauge("small", "", series())}})
	if len(x.families) != 1 || x.families[0].Name != "small" || x.malformed != 1 {
		t.Errorf("kept %d families, %d malformed", len(x.families), x.malformed)
	}
}

func TestFamilyToldTwiceIsCounted(t *testing.T) {
	twice := &health.Schema{Families: []health.Family{gauge("x", "", series("a", "1")), gauge("x", "", series("a", "2"))}}
	w := newWorkshop(Text)
	if x := w.fix(twice); len(x.families) != 1 || x.malformed != 1 || x.width != 2 {
		t.Errorf("kept %d families, %d malformed, width %d", len(x.families), x.malformed, x.width)
	}
}
