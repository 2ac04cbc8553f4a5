package state

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// What a node holds of the others grows with their number, so each must be
// small: here 100 series and 20 verdicts, a fifth of the series with labels
// that no other node has.
func TestMemoryOfOtherNodes(t *testing.T) {
	const nodes = 200
	r := newRealm(t)
	s := r.store("self", 0)
	s.cfg.Nodes = nodes + 1
	s.cfg.Limits.Results, s.cfg.Limits.SchemaBytes = 100, 100_000
	s.cfg.Reader = ownReader{s.cfg.Cluster, s.cfg.Limits}
	before := heap()
	for i := range nodes {
		other := r.store(fmt.Sprintf("node-%03d", i), 0)
		other.cfg.Limits = s.cfg.Limits
		if err := other.Publish(typicalNode(i), 15*time.Second); err != nil {
			t.Fatal(err)
		}
		frames, _, _ := other.Diff(nil, 1<<20)
		if out := s.Apply(Delta{Frames: frames, Blobs: other.Blobs(other.Refers(other.cfg.Self), 1<<20)}); out.Applied != 1 {
			t.Fatalf("%+v", out)
		}
		r.keys[other.cfg.Self] = nil
	}
	each := (heap() - before) / nodes
	t.Logf("bytes_a_node=%d mb_for_1000=%.1f", each, float64(each)*1000/1e6)
	if each > 25_000 {
		t.Errorf("each node takes %d bytes", each)
	}
	runtime.KeepAlive(s)
}

func heap() int {
	runtime.GC()
	runtime.GC() // what has a cleanup goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func typicalNode(i int) health.Snapshot {
	s := health.Snapshot{Node: fmt.Sprintf("node-%03d", i), Schema: &health.Schema{Version: "1.0.0"}}
	for f := range 50 {
		family := health.Family{Name: fmt.Sprintf("grapevine_family_%02d_seconds", f), Help: "What this family measures, in a sentence.", Type: health.Gauge}
		for n := range 2 {
			label := health.Label{Name: "subject", Value: fmt.Sprint("subject ", n)}
			if f%5 == 0 {
				label = health.Label{Name: "peer", Value: fmt.Sprintf("node-%04d", i+n)}
			}
			family.Series = append(family.Series, health.Series{Labels: []health.Label{label}})
			s.Values = append(s.Values, float64(i*f)/1000)
		}
		s.Schema.Families = append(s.Schema.Families, family)
	}
	for n := range 20 {
		s.Results = append(s.Results, health.Result{
			Check: "check", Subject: fmt.Sprint("subject ", n), Evidence: health.Evidence{Value: float64(n), Threshold: 100, Unit: "seconds"},
		})
	}
	return s
}
