package web

import (
	"fmt"
	"net/http"
	"net/http/pprof"

	"github.com/go-kit/log/level"
)

// healthy answers as long as this process serves. How the cluster is does not
// matter here: restarting the watcher would not mend it.
func (s *server) healthy(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "Grapevine is healthy.")
}

func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.Ready(); err != nil {
		http.Error(w, "Grapevine is not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "Grapevine is ready.")
}

func (s *server) reload(w http.ResponseWriter, r *http.Request) {
	level.Info(s.Logger).Log("msg", "Reload asked for over HTTP", "peer", r.RemoteAddr)
	if err := s.Reload(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "Configuration reloaded.")
}

// handleProfiles serves the Go runtime's profiles, to this host only: they
// cost time and tell the command line.
func handleProfiles(mux *http.ServeMux, guard func(http.HandlerFunc) http.Handler) {
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/":        pprof.Index,
		"/debug/pprof/cmdline": pprof.Cmdline,
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol":  pprof.Symbol,
		"/debug/pprof/trace":   pprof.Trace,
	} {
		mux.Handle(path, guard(localOnly(h)))
	}
}
