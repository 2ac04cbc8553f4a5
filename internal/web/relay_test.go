package web

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/exposition"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// holders are other nodes, by name: each a way to reach it.
type holders struct {
	names []string
	dial  map[string]func(context.Context) (net.Conn, error)
}

func (h *holders) Holders() []string { return h.names }

func (h *holders) Pipe(ctx context.Context, node string) (net.Conn, error) { return h.dial[node](ctx) }

// add makes node answer with handler, as a node does that others ask.
func (h *holders) add(t *testing.T, node string, handler http.Handler) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- ServePeers(ctx, l, handler, log.NewNopLogger()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	h.reach(node, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	})
}

func (h *holders) reach(node string, dial func(context.Context) (net.Conn, error)) {
	if h.dial == nil {
		h.dial = map[string]func(context.Context) (net.Conn, error){}
	}
	h.names = append(h.names, node)
	h.dial[node] = dial
}

// leafView is what view is on node a when that holds only the verdicts of b.
func leafView() mesh.View {
	v := view()
	v.Partial = true
	bare := *v.Nodes[1].Snapshot
	bare.Schema = &health.Schema{Version: "1.2.3", Families: []health.Family{{
		Name: "grapevine_check_status", Help: "Verdict.", Type: health.Gauge,
		Series: []health.Series{{Labels: []health.Label{{Name: "check", Value: "disk"}, {Name: "subject", Value: "/var"}}}},
	}}}
	bare.Values = []float64{2}
	v.Nodes[1].Snapshot = &bare
	return v
}

// holder is the handler of a node that holds everything, and answers others.
func holder(node string) http.Handler {
	cfg, _ := config()
	cfg.Node, cfg.Renderer = node, exposition.New(prometheus.NewRegistry())
	return NewForPeers(cfg)
}

func leafServer(h *holders) (http.Handler, func(outcome string) float64) {
	cfg, reg := config()
	cfg.View, cfg.Holders = leafView, h
	return handler(cfg), func(outcome string) float64 {
		families, err := reg.Gather()
		if err != nil {
			panic(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "grapevine_web_relayed_scrapes_total" && m.GetLabel()[0].GetValue() == outcome {
					return m.GetCounter().GetValue()
				}
			}
		}
		return -1
	}
}

// A scrape of a leaf is the scrape of whoever holds everything.
func TestRelay(t *testing.T) {
	t.Parallel()
	var h holders
	h.add(t, "agg", holder("agg"))
	leaf, count := leafServer(&h)
	direct := holder("agg")
	scrapes := 0
	for label, tc := range map[string]struct {
		target string
		header []string
	}{
		"plain":       {"/metrics", nil},
		"OpenMetrics": {"/metrics", []string{"Accept", "application/openmetrics-text;version=1.0.0"}},
		"one node":    {"/metrics?node=b", nil},
		"two nodes":   {"/metrics?node=a&node=b", nil},
		"a check":     {"/metrics?collect[]=disk", nil},
		"a shard":     {"/metrics?shard=1/2", nil},
		"gzip":        {"/metrics", []string{"Accept-Encoding", "gzip"}},
	} {
		want, got := ask(direct, "GET", tc.target, tc.header...), ask(leaf, "GET", tc.target, tc.header...)
		scrapes++
		if got.Code != 200 || got.Body.String() != want.Body.String() || want.Body.Len() == 0 {
			t.Errorf("%s: %d\n%s\nwant\n%s", label, got.Code, got.Body, want.Body)
		}
		for _, name := range []string{"Content-Type", "Content-Encoding"} {
			if got.Header().Get(name) != want.Header().Get(name) {
				t.Errorf("%s: %s is %q, want %q", label, name, got.Header().Get(name), want.Header().Get(name))
			}
		}
	}
	if got := count(relayed); got != float64(scrapes) {
		t.Errorf("%v relayed scrapes are counted, want %d", got, scrapes)
	}
	if got := ask(leaf, "GET", "/metrics?node=a"); !strings.Contains(got.Body.String(), `grapevine_disk_free_bytes{node="a"} 1`) || count(relayed) != float64(scrapes) {
		t.Errorf("its own series come from another: %s", got.Body)
	}
	if got := ask(leaf, "GET", "/metrics?node="); got.Code != 400 || count(relayed) != float64(scrapes) {
		t.Errorf("a bad request: %d", got.Code)
	}
}

// What is compressed arrives so, once.
func TestRelayCompressed(t *testing.T) {
	t.Parallel()
	var h holders
	text := strings.Repeat("grapevine_x 1\n", 10_000)
	h.add(t, "agg", compressor()(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, text)
	})))
	leaf, _ := leafServer(&h)
	srv := httptest.NewServer(leaf)
	defer srv.Close()
	request, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", "gzip")
	answer, err := srv.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	z, err := gzip.NewReader(answer.Body)
	if err != nil || answer.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%v, %v", answer.Header, err)
	}
	if got, err := io.ReadAll(z); string(got) != text {
		t.Errorf("%d bytes, want %d: %v", len(got), len(text), err)
	}
}

// Whoever cannot answer is passed over; when nobody can, the node tells what
// it holds, and says that this is not all.
func TestRelayThatFails(t *testing.T) {
	t.Parallel()
	refused := func(context.Context) (net.Conn, error) { return nil, errors.New("no route") }
	silent := func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	partial, _ := config()
	partial.View, partial.Renderer = leafView, exposition.New(prometheus.NewRegistry())
	for label, tc := range map[string]struct {
		first   func(*testing.T, *holders)
		another bool
		outcome string
	}{
		"nobody known":           {func(*testing.T, *holders) {}, false, incomplete},
		"one refuses":            {func(_ *testing.T, h *holders) { h.reach("x", refused) }, false, incomplete},
		"one refuses of two":     {func(_ *testing.T, h *holders) { h.reach("x", refused) }, true, relayed},
		"one is silent":          {func(_ *testing.T, h *holders) { h.reach("x", silent) }, false, incomplete},
		"one is silent of two":   {func(_ *testing.T, h *holders) { h.reach("x", silent) }, true, relayed},
		"one is a leaf itself":   {func(t *testing.T, h *holders) { h.add(t, "x", NewForPeers(partial)) }, false, incomplete},
		"one of two is a leaf":   {func(t *testing.T, h *holders) { h.add(t, "x", NewForPeers(partial)) }, true, relayed},
		"three leaves, then one": {func(t *testing.T, h *holders) { h.reach("x", refused); h.reach("y", refused); h.reach("z", refused) }, true, incomplete},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			var h holders
			tc.first(t, &h)
			if tc.another {
				h.add(t, "agg", holder("agg"))
			}
			leaf, count := leafServer(&h)
			got := ask(leaf, "GET", "/metrics", scrapeTimeoutHeader, "6").Body.String()
			complete := strings.Contains(got, `grapevine_etcd_up{node="b"} 4`)
			if complete != (tc.outcome == relayed) || count(tc.outcome) != 1 {
				t.Errorf("counted %v of %s, answered\n%s", count(tc.outcome), tc.outcome, got)
			}
			if tc.outcome != incomplete {
				return
			}
			for _, want := range []string{
				`grapevine_mesh_scrape_complete{node="a"} 0`,
				`grapevine_etcd_up{node="a"} 2`,
				`grapevine_check_status{check="disk",node="b",subject="/var"} 2`,
				`grapevine_node_up{node="b"} 1`,
				`grapevine_node_snapshot_age_seconds{node="b"} 2`,
			} {
				if !strings.Contains(got, want) {
					t.Errorf("%s is missing of\n%s", want, got)
				}
			}
		})
	}
}

// An answer that ends early is not taken for the whole.
func TestRelayThatBreaks(t *testing.T) {
	t.Parallel()
	var h holders
	h.add(t, "agg", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("grapevine_x 1\n", 10_000))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	leaf, count := leafServer(&h)
	srv := httptest.NewServer(leaf)
	defer srv.Close()
	answer, err := srv.Client().Get(srv.URL + "/metrics")
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	if err == nil {
		t.Error("a scraper takes the part for the whole")
	}
	for deadline := time.Now().Add(5 * time.Second); count(broken) != 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v broken answers are counted", count(broken))
		}
	}
}
