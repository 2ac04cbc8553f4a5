// Package web answers over HTTP: the cluster's metrics from the mesh.View by
// way of internal/exposition, this node's own, service discovery, the JSON
// that the command line reads, and the usual /-/ endpoints. It is the end of
// the line along which data flows.
package web

import (
	"net/http"
	"time"

	"github.com/go-kit/log"
	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/internal/exposition"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// Paths that others ask for by name.
const (
	MetricsPath      = "/metrics"
	LocalMetricsPath = "/metrics/local"
	DiscoveryPath    = "/sd"
	StatusPath       = "/api/v1/status"
	MembersPath      = "/api/v1/members"
	HealthyPath      = "/-/healthy"
	ReadyPath        = "/-/ready"
	ReloadPath       = "/-/reload"
)

// Config is what the handler needs. Fields without a comment on their zero
// value are required.
type Config struct {
	Node    string // this node's name
	Version string // of this program

	// View is asked once for each request.
	View func() mesh.View
	// Holders are asked for what the View lacks; nil: nobody is.
	Holders Holders
	// Local gathers this node's own metrics, without the label node.
	Local    prometheus.Gatherer
	Renderer *exposition.Renderer
	// MaxRequests is how many scrapes are answered at once; 0: any number.
	MaxRequests int
	// Timestamps makes MetricsPath say when each sample was taken.
	Timestamps bool

	// Ready returns why this node cannot answer for the cluster yet, or nil.
	Ready func() error
	// Reload reads the configuration again, or returns why it is refused.
	Reload func() error

	Logger   log.Logger
	Registry prometheus.Registerer // for the handler's own metrics
}

// server is the Config with the methods that answer requests.
type server struct {
	Config
	now        func() time.Time
	relays     *prometheus.CounterVec
	unanswered *prometheus.CounterVec
	lastScrape *lastScrape
	census     census
	gathering  gathering
}

// New returns the handler of every path. It starts nothing.
func New(cfg Config) http.Handler {
	return newServer(cfg, time.Now)
}

func newServer(cfg Config, now func() time.Time) http.Handler {
	s := &server{
		Config: cfg, now: now, relays: newRelays(cfg.Registry), unanswered: newUnanswered(cfg.Registry),
		lastScrape: newLastScrape(now, cfg.Registry), gathering: gathering{from: cfg.Local},
	}
	limit := newLimit(cfg.MaxRequests, s.unanswered.WithLabelValues(overLimit), cfg.Logger)
	scrape := func(h http.Handler) http.Handler { return limit.hold(timely(h)) }
	compress := compressor()
	guard := func(h http.HandlerFunc) http.Handler { return guarded(h, cfg.Logger) }
	compressed := func(h http.HandlerFunc) http.Handler { return compress(guard(h)) }

	mux := http.NewServeMux()
	mux.Handle("GET "+MetricsPath, scrape(guard(s.metrics)))
	mux.Handle("GET "+LocalMetricsPath, scrape(guard(s.localMetrics)))
	mux.Handle("GET "+DiscoveryPath, compressed(s.discovery))
	mux.Handle("GET "+StatusPath, compressed(s.status))
	mux.Handle("GET "+MembersPath, compressed(s.members))
	mux.Handle("GET "+HealthyPath, guard(s.healthy))
	mux.Handle("GET "+ReadyPath, guard(s.ready))
	mux.Handle("POST "+ReloadPath, guard(localOnly(s.reload)))
	mux.Handle("GET /{$}", guard(landingPage(cfg).ServeHTTP))
	handleProfiles(mux, guard)
	return measured(mux, cfg.Registry)
}

// compressor compresses answers for those who accept that, unless they are
// compressed already.
func compressor() func(http.Handler) http.HandlerFunc {
	compress, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		panic(err) // the options above are constants
	}
	return compress
}
