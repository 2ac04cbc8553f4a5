package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	sloggokit "github.com/tjhop/slog-gokit"

	"github.com/grapevine-mesh/grapevine/mesh"
)

// Holders are the nodes that hold every node's series when this one does not.
type Holders interface {
	// Holders lists their names, those to be asked first first.
	Holders() []string
	// Pipe opens a connection to one of them, which ServePeers answers there.
	Pipe(ctx context.Context, node string) (net.Conn, error)
}

const (
	// maxHolders is how many are asked for one scrape.
	maxHolders = 3
	// scrapeTimeout is how long a scraper usually waits. Of one that does not
	// say so no more is spent on asking others, lest nothing be left to answer
	// from what this node holds.
	scrapeTimeout = 10 * time.Second
	// headerTime is how long one holder may take to begin its answer.
	headerTime = 2500 * time.Millisecond
)

// relayedHeaders are passed on of a request.
var relayedHeaders = []string{"Accept", "Accept-Encoding", scrapeTimeoutHeader}

// newRelays counts what became of scrapes that this node could not answer
// from what it holds.
func newRelays(reg prometheus.Registerer) *prometheus.CounterVec {
	c := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "grapevine_web_relayed_scrapes_total",
		Help: "Cluster-wide scrapes that this node had to ask another for, by outcome: relayed, broken (the answer ended early), or incomplete (nobody could be asked, so this node told what it holds).",
	}, []string{"outcome"})
	for _, outcome := range []string{relayed, broken, incomplete} {
		c.WithLabelValues(outcome)
	}
	return c
}

const (
	relayed    = "relayed"
	broken     = "broken"
	incomplete = "incomplete"
)

// relay answers r with what another node says, as that comes in. It is false
// if nobody could be asked: then nothing has been written.
func (s *server) relay(w http.ResponseWriter, r *http.Request) bool {
	wait, told := patience(r)
	if !told {
		wait = scrapeTimeout
	}
	ctx, cancel := context.WithTimeout(r.Context(), reserved(wait))
	defer cancel()
	holders := s.Holders.Holders()
	for _, node := range holders[:min(maxHolders, len(holders))] {
		answer, err := s.askHolder(ctx, node, r)
		if err != nil {
			level.Debug(s.Logger).Log("msg", "Scrape is not relayed", "holder", node, "err", err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		defer answer.Body.Close()
		for _, name := range []string{"Content-Type", "Content-Encoding"} {
			if v := answer.Header.Get(name); v != "" {
				w.Header().Set(name, v)
			}
		}
		w.Header().Set("Vary", "Accept, Accept-Encoding")
		if _, err := io.Copy(w, answer.Body); err != nil {
			s.relays.WithLabelValues(broken).Inc()
			level.Debug(s.Logger).Log("msg", "Relayed scrape ended early", "holder", node, "err", err)
			panic(http.ErrAbortHandler) // so that nobody takes it for the whole
		}
		s.relays.WithLabelValues(relayed).Inc()
		return true
	}
	s.relays.WithLabelValues(incomplete).Inc()
	return false
}

// askHolder sends r to node and returns the answer once it has begun. The
// rest of it comes within ctx.
func (s *server) askHolder(ctx context.Context, node string, r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(headerTime, cancel)
	transport := &http.Transport{
		// A context of the transport's own would outlive the request.
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return s.Holders.Pipe(ctx, node) },
		DisableKeepAlives: true, DisableCompression: true,
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, "http://mesh"+MetricsPath, http.NoBody)
	if err != nil {
		cancel()
		return nil, err
	}
	request.URL.RawQuery = r.URL.RawQuery
	for _, name := range relayedHeaders {
		if v := r.Header.Get(name); v != "" {
			request.Header.Set(name, v)
		}
	}
	answer, err := transport.RoundTrip(request)
	if err == nil && answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close()
		err = fmt.Errorf("%s answers %s", node, answer.Status)
	}
	if !late.Stop() && err == nil {
		_ = answer.Body.Close()
		err = fmt.Errorf("%s takes more than %v", node, headerTime)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	answer.Body = &cancelling{answer.Body, cancel}
	return answer, nil
}

// cancelling ends a request when its answer is closed.
type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (c *cancelling) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

// NewForPeers returns the handler of what other nodes ask this one: the
// cluster's metrics, if this node holds them. What it is asked it never asks
// another, so no scrape goes in circles. It has a limit of its own: neither the
// scrapers of this node nor those of the others crowd the others out.
func NewForPeers(cfg Config) http.Handler {
	s := &server{Config: cfg, now: time.Now, unanswered: newUnanswered(cfg.Registry)}
	limit := newLimit(cfg.MaxRequests, s.unanswered.WithLabelValues(overPeerLimit), cfg.Logger)
	mux := http.NewServeMux()
	mux.Handle("GET "+MetricsPath, limit.hold(timely(guarded(func(w http.ResponseWriter, r *http.Request) {
		view := s.View()
		if view.Partial {
			http.Error(w, "this node does not hold every node's series", http.StatusServiceUnavailable)
			return
		}
		s.render(w, r, view)
	}, cfg.Logger))))
	return mux
}

// ServePeers answers other nodes on l with h until ctx ends, and closes l.
func ServePeers(ctx context.Context, l net.Listener, h http.Handler, logger log.Logger) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		ErrorLog: slog.NewLogLogger(bare{sloggokit.NewGoKitHandler(logger, slog.LevelDebug)}, slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // whoever is cut off asks another node
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answering other nodes: %w", err)
	}
	return nil
}

// partly reports whether r asks for more than this node holds.
func (s *server) partly(view mesh.View, f filter) bool {
	if !view.Partial || s.Holders == nil {
		return false
	}
	for _, name := range f.nodes {
		if name != s.Node {
			return true
		}
	}
	return len(f.nodes) == 0
}
