package agent

import (
	"fmt"
	"testing"

	"github.com/grapevine-mesh/grapevine/health"
)

// Every node holds the native buckets of every other, as that one has them.
func TestNativeHistogramsReachEveryNode(t *testing.T) {
	t.Parallel()
	cfg, logs := testConfig(t, "a")
	a := start(t, cfg, logs)
	cfg, logs = testConfig(t, "b")
	cfg.MeshJoin = []string{a.GossipAddr()}
	b := start(t, cfg, logs)

	asked := 0.0
	for _, more := range []int{1, 20} { // and those that come later, too
		for range more {
			a.get("/-/healthy")
			asked++
		}
		eventually(t, func() error {
			view := b.mesh.View()
			n, ok := view.Node("a")
			if !ok || n.Snapshot == nil || n.Snapshot.Schema == nil {
				return fmt.Errorf("b has not heard of a")
			}
			native, values := histogramOf(n.Snapshot, "grapevine_web_request_duration_seconds", "/-/healthy")
			if native == nil || native.Width() >= len(values) {
				return fmt.Errorf("native buckets %+v, values %v", native, values)
			}
			classic := values[:len(values)-native.Width()]
			sum := 0.0
			for _, count := range values[len(classic):] {
				sum += count
			}
			if count := classic[len(classic)-1]; sum != asked || count != asked {
				return fmt.Errorf("%v in the buckets of %v, %v requests counted, %v made", sum, native, count, asked)
			}
			return nil
		})
	}
}

// histogramOf finds the series of a family by the value of its one label.
func histogramOf(s *health.Snapshot, family, label string) (*health.Native, []float64) {
	at := 0
	for i := range s.Schema.Families {
		f := &s.Schema.Families[i]
		for _, series := range f.Series {
			width := series.Width(f.Type)
			if f.Name == family && len(series.Labels) == 1 && series.Labels[0].Value == label {
				return series.Native, s.Values[at : at+width]
			}
			at += width
		}
	}
	return nil, nil
}
