package web

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sync/singleflight"

	"github.com/grapevine-mesh/grapevine/internal/exposition"
)

// localMetrics is this node only, straight from its own registry.
func (s *server) localMetrics(w http.ResponseWriter, r *http.Request) {
	f, err := filterOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	wait, _ := patience(r)
	wait = reserved(wait)
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	gathered, ok := s.gathering.wait(ctx)
	if !ok {
		http.Error(w, fmt.Sprintf("this node's metrics are not gathered after %v: one of them takes too long", wait), http.StatusServiceUnavailable)
		return
	}
	gatherer := exposition.Local(gathered, s.Node, f.checks)
	if len(f.nodes) > 0 && !slices.Contains(f.nodes, s.Node) || !f.shard.Has(s.Node) {
		gatherer = prometheus.Gatherers{}
	}
	out := &response{ResponseWriter: w}
	promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		ErrorLog:          gatherErrors{s.Logger},
		// One bad collector must not hide the others.
		ErrorHandling: promhttp.ContinueOnError,
	}).ServeHTTP(out, r)
	if out.err != nil {
		s.abort(r, out.err)
	}
}

// gatherErrors is the logger as promhttp wants it.
type gatherErrors struct{ log.Logger }

func (g gatherErrors) Println(v ...any) {
	level.Warn(g.Logger).Log("msg", "Gathering this node's metrics", "err", fmt.Sprint(v...))
}

// gathering asks a Gatherer once for all who come meanwhile: when it hangs,
// one goroutine hangs with it, and not one more for each scrape.
type gathering struct {
	from  prometheus.Gatherer
	group singleflight.Group
}

// gathered is a Gatherer of what has been gathered.
type gathered struct {
	families []*dto.MetricFamily
	err      error
	panicked any // what the Gatherer panicked with, and where; nil if it did not
}

// Gather implements prometheus.Gatherer.
func (g gathered) Gather() ([]*dto.MetricFamily, error) { return g.families, g.err }

// wait returns what was gathered, or false when ctx ended first.
func (g *gathering) wait(ctx context.Context) (prometheus.Gatherer, bool) {
	select {
	case result := <-g.group.DoChan("", g.gather):
		got := result.Val.(gathered)
		if got.panicked != nil {
			panic(got.panicked)
		}
		return got, true
	case <-ctx.Done():
		return nil, false
	}
}

func (g *gathering) gather() (out any, _ error) {
	defer func() {
		if p := recover(); p != nil { // in this goroutine it would end the process
			out = gathered{panicked: fmt.Sprintf("%v\n%s", p, debug.Stack())}
		}
	}()
	families, err := g.from.Gather()
	return gathered{families: families, err: err}, nil
}
