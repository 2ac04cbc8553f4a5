package exposition

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

var update = flag.Bool("update", false, "write the golden files anew")

// noon is when the tests' scrapes happen.
var noon = time.UnixMilli(1_700_000_000_250)

func newRenderer() *Renderer {
	r := New(prometheus.NewRegistry())
	r.now = func() time.Time { return noon }
	return r
}

func render(t testing.TB, r *Renderer, v mesh.View, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b, v, o); err != nil {
		t.Fatalf("writing: %v", err)
	}
	return b.String()
}

// node is one that is up and whose snapshot of schema is two seconds old.
func node(name string, schema *health.Schema, values ...float64) mesh.Node {
	return mesh.Node{
		Name: name, Up: true, Age: 2 * time.Second, Epoch: 1, Version: 1,
		Snapshot: &health.Snapshot{Node: name, Schema: schema, Values: values},
	}
}

func gauge(name, help string, series ...health.Series) health.Family {
	return health.Family{Name: name, Help: help, Type: health.Gauge, Series: series}
}

func series(labels ...string) health.Series {
	var s health.Series
	for i := 0; i < len(labels); i += 2 {
		s.Labels = append(s.Labels, health.Label{Name: labels[i], Value: labels[i+1]})
	}
	return s
}

func bounded(s health.Series, bounds ...float64) health.Series {
	s.Bounds = bounds
	return s
}

// etcdSchema has a family of each type, labels on both sides of "node".
func etcdSchema() *health.Schema {
	return &health.Schema{Version: "1.2.0", Families: []health.Family{
		gauge("grapevine_check_status", "Verdict: 0 ok, 1 warning, 2 critical, 3 unknown.",
			series("check", "disk", "subject", "/var/lib/etcd"),
			series("check", "etcd", "subject", "https://10.0.0.1:2379")),
		{Name: "grapevine_disk_odd", Help: `C:\disk "D:"` + "\nsecond line", Type: health.Untyped,
			Series: []health.Series{series("path", "a\"b\\c\nd")}},
		{Name: "grapevine_disk_write_duration_seconds", Help: "Time a write took.", Type: health.Summary,
			Series: []health.Series{bounded(series(), 0.5, 1)}},
		{Name: "grapevine_etcd_leader_changes", Help: "No suffix.", Type: health.Counter, Series: []health.Series{series()}},
		{Name: "grapevine_etcd_read_duration_seconds", Help: "Time a read took.", Type: health.Histogram,
			Series: []health.Series{bounded(series("kind", "linearizable", "zeta", "z"), 0.1, 1, 1e6)}},
		{Name: "grapevine_etcd_reads_total", Help: "Reads.", Type: health.Counter,
			Series: []health.Series{series("kind", "linearizable")}},
	}}
}

func etcdValues(x float64) []float64 {
	return []float64{
		2, 0,
		math.Inf(-1),
		0.25, math.NaN(), 7.5, 12,
		x,
		3, 4, 5, 1.5, 6,
		1e15 + x,
	}
}

func clusterView() mesh.View {
	schema := etcdSchema()
	never := mesh.Node{Name: "d", Age: -1}
	stale := mesh.Node{Name: "c", Age: 150 * time.Second}
	return mesh.View{Self: "a", Nodes: []mesh.Node{
		node("a", schema, etcdValues(1)...),
		node(`b"1`, schema, etcdValues(0.125)...),
		stale, never,
	}}
}

// skewedView has three versions that do not agree on one family's help and
// another's type.
func skewedView() mesh.View {
	at := func(version, help string, kind health.Type) *health.Schema {
		return &health.Schema{Version: version, Families: []health.Family{
			gauge("grapevine_disk_free_bytes", help, series()),
			{Name: "grapevine_disk_ops", Help: help, Type: kind, Series: []health.Series{series()}},
		}}
	}
	return mesh.View{Self: "a", Nodes: []mesh.Node{
		node("a", at("1.9.0", "Old words.", health.Counter), 1, 2),
		node("b", at("1.10.0", "New words.", health.Gauge), 3, 4),
		node("c", at("1.9.0", "Old words.", health.Counter), 5, 6),
		node("d", at("built by hand", "Wild words.", health.Gauge), 7, 8),
		node("e", at("1.10.0-rc.1", "Nearly new words.", health.Untyped), 9, 10),
	}}
}

func TestGolden(t *testing.T) {
	for _, tc := range []struct {
		name string
		view mesh.View
		opts Options
	}{
		{"cluster.txt", clusterView(), Options{}},
		{"cluster.om", clusterView(), Options{Format: OpenMetrics}},
		{"timestamps.txt", clusterView(), Options{Timestamps: true, Nodes: []string{"a", "d"}}},
		{"timestamps.om", clusterView(), Options{Timestamps: true, Nodes: []string{"a", "d"}, Format: OpenMetrics}},
		{"collect-disk.txt", clusterView(), Options{Checks: []string{"disk"}}},
		{"collect-absent.txt", clusterView(), Options{Checks: []string{"dns"}}},
		{"nobody.om", clusterView(), Options{Nodes: []string{"x"}, Format: OpenMetrics}},
		{"skew.txt", skewedView(), Options{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := render(t, newRenderer(), tc.view, tc.opts)
			path := filepath.Join("testdata", tc.name)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("rendering differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDroppedFamiliesAreCounted(t *testing.T) {
	count := func(r *Renderer, reason string) float64 {
		return testutil.ToFloat64(r.dropped.WithLabelValues(reason))
	}
	r := newRenderer()
	render(t, r, skewedView(), Options{})
	if got := count(r, "type_conflict"); got != 3 {
		t.Errorf("type_conflict = %v, want 3: one node says untyped, and two counters lose to two gauges, one of them newer", got)
	}
	render(t, r, clusterView(), Options{Nodes: []string{"a"}})
	if got := count(r, "type_conflict"); got != 3 {
		t.Errorf("type_conflict = %v after a filtered scrape, want it untouched", got)
	}
	render(t, r, clusterView(), Options{})
	if got := count(r, "type_conflict"); got != 0 {
		t.Errorf("type_conflict = %v after everybody agrees, want 0", got)
	}
}

func TestOpenMetricsNamesDoNotClash(t *testing.T) {
	s := &health.Schema{Families: []health.Family{
		gauge("reads", "", series()),
		{Name: "reads_total", Type: health.Counter, Series: []health.Series{series()}},
	}}
	got := render(t, newRenderer(), mesh.View{Nodes: []mesh.Node{node("a", s, 1, 2)}}, Options{Format: OpenMetrics})
	if !strings.Contains(got, "# TYPE reads gauge\n") || !strings.Contains(got, "# TYPE reads_total unknown\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestTimestampStaysWithTheFrame(t *testing.T) {
	r, v := newRenderer(), clusterView()
	o := Options{Timestamps: true}
	first := render(t, r, v, o)
	// A little later the age has grown a little less than the clock has moved.
	r.now = func() time.Time { return noon.Add(5 * time.Second) }
	for i := range v.Nodes {
		v.Nodes[i].Age += 5*time.Second - 3*time.Millisecond
	}
	ours := func(text string) string { return text[:strings.Index(text, "# HELP grapevine_node_")] }
	if diff := cmp.Diff(ours(first), ours(render(t, r, v, o))); diff != "" {
		t.Errorf("the same frame has another timestamp (-first +second):\n%s", diff)
	}
	v.Nodes[0].Version++
	if ours(first) == ours(render(t, r, v, o)) {
		t.Error("a new frame has the old timestamp")
	}
}

func TestCacheForgets(t *testing.T) {
	r := newRenderer()
	for range 50 {
		v := clusterView() // with a schema of its own
		render(t, r, v, Options{Nodes: []string{"a"}})
		if n := len(r.caches[Text].fixed); n > len(v.Nodes)+1 {
			t.Fatalf("%d schemas are kept for %d nodes", n, len(v.Nodes))
		}
	}
	render(t, r, clusterView(), Options{})
	if n := len(r.caches[Text].fixed); n != 1 {
		t.Errorf("%d schemas are kept after a whole scrape, want 1", n)
	}
}

type brokenPipe struct{ after int }

var errBroken = errors.New("broken pipe")

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.after--; b.after < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestWriteErrorEndsTheRendering(t *testing.T) {
	v := largeView(50, 200)
	for after := range 3 {
		if err := newRenderer().Write(&brokenPipe{after}, v, Options{}); !errors.Is(err, errBroken) {
			t.Errorf("after %d chunks: %v", after, err)
		}
	}
}

func TestNegotiate(t *testing.T) {
	const prometheus3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
		"application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4," +
		"text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
	for _, tc := range []struct {
		name, accept string
		want         Format
	}{
		{"none", "", Text},
		{"curl", "*/*", Text},
		{"Prometheus 3", prometheus3, OpenMetrics},
		{"text only", "text/plain;version=0.0.4;q=0.3,*/*;q=0.2", Text},
		{"browser", "text/html,application/xhtml+xml;q=0.9", Text},
		{"protobuf first", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7," + prometheus3, Protobuf},
		{"protobuf last", prometheus3 + ",application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.1", OpenMetrics},
		{"protobuf of something else", "application/vnd.google.protobuf;proto=other.Message;encoding=delimited", Text},
		{"protobuf as text", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", Text},
	} {
		if got := Negotiate(tc.accept); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	if got := OpenMetrics.ContentType(); got != "application/openmetrics-text; version=1.0.0; charset=utf-8" {
		t.Error(got)
	}
	if got := Protobuf.ContentType(); got != "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited" {
		t.Error(got)
	}
	if got := Text.ContentType(); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Error(got)
	}
}
