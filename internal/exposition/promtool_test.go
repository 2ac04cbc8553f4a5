package exposition_test

import (
	"bytes"
	"os/exec"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/exposition"
	"github.com/grapevine-mesh/grapevine/mesh"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// promtool has no complaint about a cluster's metrics, our own among them.
func TestPromtool(t *testing.T) {
	promtool := real.Binary(t, "promtool")
	reg := prometheus.NewRegistry()
	renderer := exposition.New(reg)
	auto := promauto.With(reg)
	auto.NewHistogram(prometheus.HistogramOpts{Name: "grapevine_etcd_read_duration_seconds", Help: "Reads."}).Observe(1)
	auto.NewSummary(prometheus.SummaryOpts{Name: "grapevine_disk_write_size_bytes", Help: `C:\ "x"` + "\n."}).Observe(1)
	auto.NewCounterVec(prometheus.CounterOpts{Name: "grapevine_etcd_reads_total", Help: "Reads."}, []string{"zeta"}).
		WithLabelValues("a\"b\\c\nd").Inc()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	schema, values := health.FromFamilies("1.0.0", exposition.NodeLabel, families)
	v := mesh.View{Self: "a", Nodes: []mesh.Node{{Name: "c", Age: -1}}}
	for _, name := range []string{"a", "b"} {
		v.Nodes = append(v.Nodes, mesh.Node{
			Name: name, Up: true, Age: time.Second,
			Snapshot: &health.Snapshot{Node: name, Schema: schema, Values: values},
		})
	}
	for _, o := range []exposition.Options{{}, {Timestamps: true}, {Checks: []string{"etcd"}}, {Nodes: []string{"b"}}} {
		var text bytes.Buffer
		if err := renderer.Write(&text, v, o); err != nil {
			t.Fatal(err)
		}
		check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		check.Stdin = bytes.NewReader(text.Bytes())
		if complaints, err := check.CombinedOutput(); err != nil || len(complaints) > 0 {
			t.Errorf("%+v: %v\n%s\n%s", o, err, complaints, text.Bytes())
		}
	}
}
