package web

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/goleak"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/exposition"
	"github.com/grapevine-mesh/grapevine/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// view has a node that is well, one with problems, one that is silent and one
// that never spoke.
func view() mesh.View {
	schema := &health.Schema{Version: "1.2.3", Families: []health.Family{
		{Name: "grapevine_disk_free_bytes", Help: "Free.", Type: health.Gauge, Series: []health.Series{{}}},
		{Name: "grapevine_etcd_up", Help: "Up.", Type: health.Gauge, Series: []health.Series{{}}},
	}}
	return mesh.View{Self: "a", Nodes: []mesh.Node{
		{
			Name: "a", Up: true, Age: time.Second, Epoch: 3, Version: 7,
			Member: mesh.Member{State: mesh.MemberAlive, Addr: "10.0.0.1", Exchange: "10.0.0.1:7997", Web: "10.0.0.1:9797", Version: "1.2.3"},
			Snapshot: &health.Snapshot{Node: "a", Schema: schema, Values: []float64{1, 2}, Results: []health.Result{
				{Check: "etcd", Subject: "x", Status: health.OK, Observed: noon},
			}},
		},
		{
			Name: "b", Up: true, Age: 2 * time.Second,
			Member: mesh.Member{State: mesh.MemberFailed, Web: "[fd00::2]:9797", Version: "1.2.2", Tags: map[string]string{"zone": "z"}},
			Snapshot: &health.Snapshot{Node: "b", Schema: schema, Values: []float64{3, 4}, Results: []health.Result{
				{Check: "disk", Subject: "/", Status: health.Unknown, Reason: "nobody can tell", Observed: noon.Add(time.Minute)},
				{Check: "disk", Subject: "/var", Status: health.Critical, Reason: "slow", Observed: noon.Add(-4 * time.Second),
					Since: noon.Add(-time.Hour), Evidence: health.Evidence{Value: 2, Threshold: 1, Unit: "seconds"}},
				{Check: "etcd", Subject: "y", Status: health.OK},
			}},
		},
		{Name: "c", Age: 150 * time.Second, Member: mesh.Member{State: mesh.MemberFailed, Web: "10.0.0.3:9797"}},
		{Name: "d", Age: -1, Member: mesh.Member{State: mesh.MemberAlive, Web: ""}},
		{Name: "e", Up: true, Age: time.Second, Member: mesh.Member{State: mesh.MemberLeaving, Web: "10.0.0.5:9797"}},
	}}
}

// config is of a server that works; reg gathers the handler's own metrics.
func config() (cfg Config, reg *prometheus.Registry) {
	reg = prometheus.NewRegistry()
	local := prometheus.NewRegistry()
	auto := promauto.With(local)
	auto.NewGauge(prometheus.GaugeOpts{Name: "grapevine_disk_free_bytes", Help: "Free."}).Set(1)
	auto.NewCounter(prometheus.CounterOpts{Name: "grapevine_etcd_reads_total", Help: "Reads."}).Add(2)
	return Config{
		Node: "a", Version: "1.2.3",
		View: view, Local: local, Renderer: exposition.New(reg),
		Ready:  func() error { return nil },
		Reload: func() error { return nil },
		Logger: log.NewNopLogger(), Registry: reg,
	}, reg
}

func handler(cfg Config) http.Handler { return newServer(cfg, func() time.Time { return noon }) }

// ask sends one request; it comes from this host if a header says peer=local.
func ask(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = "192.0.2.7:4711"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "peer" {
			r.RemoteAddr = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPaths(t *testing.T) {
	cfg, _ := config()
	h := handler(cfg)
	for _, tc := range []struct {
		name, method, target string
		header               []string
		code                 int
		want                 string // somewhere in the body
		not                  string // nowhere in it
	}{
		{"cluster", "GET", "/metrics", nil, 200, `grapevine_disk_free_bytes{node="b"} 3`, ""},
		{"cluster, head", "HEAD", "/metrics", nil, 200, "", ""},
		{"one node", "GET", "/metrics?node=b", nil, 200, `grapevine_node_up{node="b"} 1`, `node="a"`},
		{"two nodes", "GET", "/metrics?node=b&node=a", nil, 200, `grapevine_node_up{node="a"} 1`, `node="c"`},
		{"nobody", "GET", "/metrics?node=zz", nil, 200, "", "grapevine"},
		{"a check", "GET", "/metrics?collect[]=disk", nil, 200, "grapevine_disk_free_bytes", "grapevine_etcd_up"},
		{"a shard", "GET", "/metrics?shard=1/2", nil, 200, `grapevine_node_up{node="b"} 1`, `node="a"`},
		{"the other shard", "GET", "/metrics?shard=0/2", nil, 200, `grapevine_node_up{node="a"} 1`, `node="b"`},
		{"no such shard", "GET", "/metrics?shard=2/2", nil, 400, `shard="2/2" is not i/n`, ""},
		{"bad shard", "GET", "/metrics?shard=half", nil, 400, `shard="half" is not i/n`, ""},
		{"parameter not known", "GET", "/metrics?shape=round", nil, 200, "grapevine_etcd_up", ""},
		{"empty node", "GET", "/metrics?node=", nil, 400, "node= is empty", "grapevine_"},
		{"bad check", "GET", "/metrics?collect[]=A%20b", nil, 400, `"A b" is not the name of a check`, ""},
		{"bad query", "GET", "/metrics?node=%zz", nil, 400, "invalid URL escape", ""},
		{"OpenMetrics", "GET", "/metrics", []string{"Accept", "application/openmetrics-text;version=1.0.0"}, 200, "# EOF\n", ""},
		{"post", "POST", "/metrics", nil, 405, "", ""},

		{"local", "GET", "/metrics/local", nil, 200, `grapevine_disk_free_bytes{node="a"} 1`, "grapevine_node_up"},
		{"local, OpenMetrics", "GET", "/metrics/local", []string{"Accept", "application/openmetrics-text;version=1.0.0"}, 200, "# EOF\n", ""},
		{"local, a check", "GET", "/metrics/local?collect[]=etcd", nil, 200, `grapevine_etcd_reads_total{node="a"} 2`, "grapevine_disk"},
		{"local, own name", "GET", "/metrics/local?node=a", nil, 200, "grapevine_disk", ""},
		{"local, another's name", "GET", "/metrics/local?node=b", nil, 200, "", "grapevine"},
		{"local, bad check", "GET", "/metrics/local?collect[]=", nil, 400, "not the name of a check", ""},

		{"healthy", "GET", "/-/healthy", nil, 200, "healthy", ""},
		{"ready", "GET", "/-/ready", nil, 200, "ready", "not"},
		{"reload from afar", "POST", "/-/reload", nil, 403, "only answered on this host", ""},
		{"reload", "POST", "/-/reload", []string{"peer", "127.0.0.1:5"}, 200, "reloaded", ""},
		{"reload, IPv6", "POST", "/-/reload", []string{"peer", "[::1]:5"}, 200, "reloaded", ""},
		{"reload, mapped", "POST", "/-/reload", []string{"peer", "[::ffff:127.0.0.1]:5"}, 200, "reloaded", ""},
		{"reload through a proxy", "POST", "/-/reload", []string{"peer", "127.0.0.1:5", "X-Forwarded-For", "192.0.2.1"}, 403, "proxy", ""},
		{"reload by get", "GET", "/-/reload", []string{"peer", "127.0.0.1:5"}, 405, "", ""},
		{"profiles from afar", "GET", "/debug/pprof/", nil, 403, "", ""},
		{"profiles", "GET", "/debug/pprof/", []string{"peer", "127.0.0.1:5"}, 200, "goroutine", ""},
		{"profile by name", "GET", "/debug/pprof/heap?debug=1", []string{"peer", "127.0.0.1:5"}, 200, "heap profile", ""},

		{"start page", "GET", "/", nil, 200, "Do not scrape <code>/metrics</code> of every node", "debug/pprof"},
		{"not there", "GET", "/nowhere", nil, 404, "", ""},
		{"not there either", "GET", "/metrics/", nil, 404, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := ask(h, tc.method, tc.target, tc.header...)
			body := w.Body.String()
			if w.Code != tc.code {
				t.Fatalf("code %d, want %d: %s", w.Code, tc.code, body)
			}
			if !strings.Contains(body, tc.want) {
				t.Errorf("%q is not in:\n%s", tc.want, body)
			}
			if tc.not != "" && strings.Contains(body, tc.not) {
				t.Errorf("%q is in:\n%s", tc.not, body)
			}
			if tc.code == 400 && strings.Count(strings.TrimSpace(body), "\n") > 0 {
				t.Errorf("more than one line:\n%s", body)
			}
		})
	}
}

func TestNamesOnTheStartPageAreEscaped(t *testing.T) {
	cfg, _ := config()
	cfg.Node = "<script>"
	if body := ask(handler(cfg), "GET", "/").Body.String(); strings.Contains(body, "<script>") {
		t.Error("the node's name is in the page as it is")
	}
}

func TestContentType(t *testing.T) {
	cfg, _ := config()
	h := handler(cfg)
	for _, tc := range []struct{ target, accept, want string }{
		{"/metrics", "", "text/plain; version=0.0.4; charset=utf-8"},
		{"/metrics", "application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"},
		{"/metrics/local", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores"},
		{"/sd", "", "application/json"},
		{"/api/v1/status", "", "application/json"},
	} {
		if got := ask(h, "GET", tc.target, "Accept", tc.accept).Header().Get("Content-Type"); got != tc.want {
			t.Errorf("%s as %q: %q, want %q", tc.target, tc.accept, got, tc.want)
		}
	}
}

func TestCompression(t *testing.T) {
	cfg, _ := config()
	cfg.View = func() mesh.View { // large enough to be worth it
		v := view()
		for range 4 {
			v.Nodes = append(v.Nodes, v.Nodes...)
		}
		return v
	}
	h := handler(cfg)
	want := ask(h, "GET", "/metrics").Body.String()
	for _, tc := range []struct {
		accept, encoding string
		reader           func(io.Reader) (io.Reader, error)
	}{
		{"gzip", "gzip", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"zstd", "zstd", func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) }},
		{"gzip;q=0", "", func(r io.Reader) (io.Reader, error) { return r, nil }},
	} {
		w := ask(h, "GET", "/metrics", "Accept-Encoding", tc.accept)
		if got := w.Header().Get("Content-Encoding"); got != tc.encoding {
			t.Errorf("%s: encoding %q", tc.accept, got)
		}
		r, err := tc.reader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s (-plain +unpacked):\n%s", tc.accept, diff)
		}
	}
}

func TestNotReadyAndRefused(t *testing.T) {
	cfg, _ := config()
	cfg.Ready = func() error { return errors.New("no snapshot yet") }
	cfg.Reload = func() error { return errors.New("config.yml:3: unknown key") }
	h := handler(cfg)
	if w := ask(h, "GET", "/-/ready"); w.Code != 503 || !strings.Contains(w.Body.String(), "no snapshot yet") {
		t.Errorf("ready: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "GET", "/-/healthy"); w.Code != 200 {
		t.Errorf("healthy: %d", w.Code)
	}
	if w := ask(h, "POST", "/-/reload", "peer", "127.0.0.1:1"); w.Code != 500 || w.Body.String() != "config.yml:3: unknown key\n" {
		t.Errorf("reload: %d %s", w.Code, w.Body)
	}
}

func TestDiscovery(t *testing.T) {
	cfg, _ := config()
	var got []TargetGroup
	decode(t, ask(handler(cfg), "GET", "/sd"), &got)
	want := []TargetGroup{
		{[]string{"10.0.0.1:9797"}, map[string]string{
			"__metrics_path__": "/metrics/local", "__meta_grapevine_node": "a", "__meta_grapevine_version": "1.2.3"}},
		{[]string{"[fd00::2]:9797"}, map[string]string{
			"__metrics_path__": "/metrics/local", "__meta_grapevine_node": "b", "__meta_grapevine_version": "1.2.2"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	cfg, _ = config()
	cfg.View = func() mesh.View { return mesh.View{} }
	if body := ask(handler(cfg), "GET", "/sd").Body.String(); body != "[]\n" {
		t.Errorf("nobody there: %q", body)
	}
}

func TestMembers(t *testing.T) {
	cfg, _ := config()
	var got Members
	decode(t, ask(handler(cfg), "GET", "/api/v1/members"), &got)
	second := 1.0
	want := Member{
		Name: "a", State: mesh.MemberAlive, Up: true, Addr: "10.0.0.1", Exchange: "10.0.0.1:7997", Web: "10.0.0.1:9797",
		Version: "1.2.3", AgeSeconds: &second, Epoch: 3, FrameVersion: 7,
	}
	if got.Node != "a" || len(got.Members) != 5 {
		t.Fatalf("got %+v", got)
	}
	if diff := cmp.Diff(want, got.Members[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Members[3].AgeSeconds != nil {
		t.Error("a node that never spoke has an age")
	}
}

func decode(t *testing.T, w *httptest.ResponseRecorder, into any) {
	t.Helper()
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%d: %v", w.Code, err)
	}
}
