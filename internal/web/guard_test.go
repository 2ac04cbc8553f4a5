package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/mesh"
)

func TestPanicAnswers500(t *testing.T) {
	cfg, reg := config()
	cfg.View = func() mesh.View { panic("no view") }
	cfg.Local = prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { panic("no metrics") })
	h := handler(cfg)
	for _, path := range []string{"/metrics", "/metrics/local", "/sd", "/api/v1/status", "/api/v1/members"} {
		if w := ask(h, "GET", path, "Accept-Encoding", "gzip"); w.Code != 500 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask(h, "GET", "/-/healthy"); w.Code != 200 {
		t.Errorf("healthy: %d", w.Code)
	}
	if n, err := testutil.GatherAndCount(reg, "grapevine_web_requests_total"); n != 6 || err != nil {
		t.Errorf("%d series of requests, want 6 (%v)", n, err)
	}
}

func TestPanicInTheMiddleCutsTheAnswer(t *testing.T) {
	h := guarded(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half of it")
		panic("then nothing")
	}, log.NewNopLogger())
	defer func() {
		if p := recover(); p != any(http.ErrAbortHandler) {
			t.Errorf("recovered %v, want http.ErrAbortHandler", p)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}

func TestOwnMetrics(t *testing.T) {
	cfg, reg := config()
	h := handler(cfg)
	ask(h, "GET", "/metrics")
	ask(h, "GET", "/metrics?node=")
	ask(h, "GET", "/")
	ask(h, "GET", "/debug/pprof/")
	ask(h, "GET", "/wp-login.php")
	ask(h, "GET", "/.git/config")
	ask(h, "DELETE", "/metrics")
	want := `
# HELP grapevine_web_requests_total HTTP requests answered, by path and status code.
# TYPE grapevine_web_requests_total counter
grapevine_web_requests_total{code="200",handler="/"} 1
grapevine_web_requests_total{code="200",handler="/metrics"} 1
grapevine_web_requests_total{code="400",handler="/metrics"} 1
grapevine_web_requests_total{code="403",handler="/debug/pprof/"} 1
grapevine_web_requests_total{code="404",handler="other"} 2
grapevine_web_requests_total{code="405",handler="other"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "grapevine_web_requests_total"); err != nil {
		t.Error(err)
	}
	complaints, err := testutil.GatherAndLint(reg)
	if err != nil || len(complaints) > 0 {
		t.Errorf("lint: %v %v", complaints, err)
	}
}
