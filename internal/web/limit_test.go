package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/internal/exposition"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// blocked is a View that the first callers wait for until release is closed.
// Each of them says so in entered.
func blocked(callers int32) (wait func() mesh.View, entered, release chan struct{}) {
	entered, release = make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	return func() mesh.View {
		if calls.Add(1) <= callers {
			entered <- struct{}{}
			<-release
		}
		return view()
	}, entered, release
}

func unanswered(cfg Config, reason string) float64 {
	return testutil.ToFloat64(newUnanswered(cfg.Registry).WithLabelValues(reason))
}

// One scrape too many is refused, by either path, in words that name the flag.
// All else is answered as ever.
func TestOneScrapeTooMany(t *testing.T) {
	t.Parallel()
	const most = 40
	cfg, _ := config()
	cfg.MaxRequests = most
	var logged bytes.Buffer
	cfg.Logger = log.NewLogfmtLogger(log.NewSyncWriter(&logged))
	wait, entered, release := blocked(most)
	cfg.View = wait
	addr, stop := serve(t, New(cfg), "")
	transport := &http.Transport{MaxIdleConnsPerHost: most}
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	get := func(path string) (code int, header http.Header, body string) {
		answer, err := client.Get("http://" + addr + path)
		if err != nil {
			t.Error(err)
			return 0, nil, ""
		}
		defer answer.Body.Close()
		all, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Error(err)
		}
		return answer.StatusCode, answer.Header, string(all)
	}

	codes := make(chan int, most)
	for range most {
		go func() {
			code, _, _ := get("/metrics")
			codes <- code
		}()
	}
	for range most {
		<-entered
	}
	for _, path := range []string{"/metrics", "/metrics/local", "/metrics?node=a"} {
		code, header, body := get(path)
		want := "40 scrapes are under way, as many as --web.max-requests lets this node answer at once: try again, or see who scrapes it\n"
		if code != http.StatusServiceUnavailable || body != want || header.Get("Retry-After") == "" {
			t.Errorf("%s, one too many: %d, %v, %q", path, code, header, body)
		}
	}
	for _, path := range []string{"/-/healthy", "/-/ready", "/sd", "/api/v1/status", "/api/v1/members", "/"} {
		if code, _, body := get(path); code != http.StatusOK {
			t.Errorf("%s meanwhile: %d %s", path, code, body)
		}
	}
	close(release)
	for range most {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("one of the first: %d", code)
		}
	}
	for _, path := range []string{"/metrics", "/metrics/local"} {
		if code, _, body := get(path); code != http.StatusOK {
			t.Errorf("%s when there is place again: %d %s", path, code, body)
		}
	}
	if got := unanswered(cfg, overLimit); got != 3 {
		t.Errorf("%v refusals are counted, want 3", got)
	}
	transport.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if lines := strings.Count(logged.String(), "flag=--web.max-requests"); lines != 1 {
		t.Errorf("the log says it %d times, want once a minute:\n%s", lines, logged.String())
	}
}

func TestAnyNumberOfScrapes(t *testing.T) {
	t.Parallel()
	const many = 100
	cfg, _ := config()
	wait, entered, release := blocked(many)
	cfg.View = wait
	h := handler(cfg)
	codes := make(chan int, many)
	for range many {
		go func() { codes <- ask(h, "GET", "/metrics").Code }()
	}
	for range many {
		<-entered
	}
	close(release)
	for range many {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("without a limit: %d", code)
		}
	}
}

// What leaves ask of a node is bounded, too, and apart from its own scrapers. A
// leaf that is refused answers from what it holds.
func TestOneRelayedScrapeTooMany(t *testing.T) {
	t.Parallel()
	cfg, _ := config()
	cfg.Node, cfg.MaxRequests = "agg", 1
	wait, entered, release := blocked(1)
	cfg.View = wait
	var h holders
	h.add(t, "agg", NewForPeers(cfg))
	leaf, count := leafServer(&h)
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- ask(leaf, "GET", "/metrics") }()
	<-entered
	if got := ask(leaf, "GET", "/metrics").Body.String(); !strings.Contains(got, `grapevine_mesh_scrape_complete{node="a"} 0`) || count(incomplete) != 1 {
		t.Errorf("the second one:\n%s", got)
	}
	if got := ask(handler(cfg), "GET", "/metrics"); got.Code != http.StatusOK {
		t.Errorf("the node's own scraper meanwhile: %d %s", got.Code, got.Body)
	}
	close(release)
	if got := <-first; got.Code != http.StatusOK || count(relayed) != 1 {
		t.Errorf("the first one: %d %s", got.Code, got.Body)
	}
	if peers, own := unanswered(cfg, overPeerLimit), unanswered(cfg, overLimit); peers != 1 || own != 0 {
		t.Errorf("refused %v of other nodes' and %v of its own, want 1 and 0", peers, own)
	}
}

// A collector that hangs costs each scraper of the node an answer within its
// time, and the node one goroutine.
func TestLocalThatHangs(t *testing.T) {
	t.Parallel()
	cfg, _ := config()
	cfg.MaxRequests = 4
	local := cfg.Local
	gathers, release := atomic.Int32{}, make(chan struct{})
	cfg.Local = prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		gathers.Add(1)
		<-release
		return local.Gather()
	})
	h := handler(cfg)
	for range 5 {
		start := time.Now()
		w := ask(h, "GET", "/metrics/local", scrapeTimeoutHeader, "0.4")
		if took := time.Since(start); w.Code != http.StatusServiceUnavailable || took < 300*time.Millisecond {
			t.Errorf("%d after %v: %s", w.Code, took, w.Body)
		}
		if want := "this node's metrics are not gathered after 300ms: one of them takes too long\n"; w.Body.String() != want {
			t.Errorf("%q, want %q", w.Body, want)
		}
	}
	if w := ask(h, "GET", "/metrics"); w.Code != http.StatusOK {
		t.Errorf("the cluster meanwhile: %d", w.Code)
	}
	if n := gathers.Load(); n != 1 {
		t.Errorf("%d gatherings are under way", n)
	}
	close(release)
	if w := ask(h, "GET", "/metrics/local"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "grapevine_disk_free_bytes") {
		t.Errorf("when it goes on: %d %s", w.Code, w.Body)
	}
}

// A node's own metrics are what the library makes of them, byte by byte, in
// every format and encoding it has.
func TestLocalIsTheLibrarys(t *testing.T) {
	t.Parallel()
	cfg, _ := config()
	auto := promauto.With(cfg.Local.(prometheus.Registerer))
	auto.NewHistogram(prometheus.HistogramOpts{Name: "grapevine_disk_writes_seconds", Help: "Writes.", Buckets: []float64{1}}).Observe(2)
	auto.NewSummary(prometheus.SummaryOpts{Name: "grapevine_disk_reads_seconds", Help: "Reads.", Objectives: map[float64]float64{0.5: 0.1}}).Observe(2)
	for i := range 100 { // worth compressing
		auto.NewGauge(prometheus.GaugeOpts{Name: fmt.Sprintf("grapevine_disk_%d", i), Help: "A number."}).Set(float64(i))
	}
	h := handler(cfg)
	library := promhttp.HandlerFor(exposition.Local(cfg.Local, "a", nil), promhttp.HandlerOpts{EnableOpenMetrics: true})
	for _, accept := range []string{
		"", "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0", "*/*",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
	} {
		for _, encoding := range []string{"", "gzip", "zstd", "gzip, zstd"} {
			got := ask(h, "GET", "/metrics/local", "Accept", accept, "Accept-Encoding", encoding)
			want := ask(library, "GET", "/metrics/local", "Accept", accept, "Accept-Encoding", encoding)
			if got.Code != want.Code || want.Body.Len() == 0 || !bytes.Equal(got.Body.Bytes(), want.Body.Bytes()) {
				t.Errorf("as %q in %q: %d, %d bytes; the library: %d, %d", accept, encoding, got.Code, got.Body.Len(), want.Code, want.Body.Len())
			}
			for _, name := range []string{"Content-Type", "Content-Encoding"} {
				if got.Header().Get(name) != want.Header().Get(name) {
					t.Errorf("as %q in %q: %s is %q, the library's %q", accept, encoding, name, got.Header().Get(name), want.Header().Get(name))
				}
			}
		}
	}
}
