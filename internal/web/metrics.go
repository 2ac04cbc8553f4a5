package web

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-kit/log/level"

	"github.com/grapevine-mesh/grapevine/internal/exposition"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// filter is what node=, shard= and collect[]= ask for; the first and the last
// may be repeated, and none means all.
type filter struct {
	nodes  []string
	shard  exposition.Shard
	checks []string
}

// maxShards is more than any cluster needs and keeps the arithmetic small.
const maxShards = 1000

// shardOf reads i/n, with i from 0 to n-1.
func shardOf(s string) (exposition.Shard, error) {
	index, of, _ := strings.Cut(s, "/")
	i, errIndex := strconv.Atoi(index)
	n, errOf := strconv.Atoi(of)
	if errIndex != nil || errOf != nil || n < 1 || n > maxShards || i < 0 || i >= n {
		return exposition.Shard{}, fmt.Errorf("shard=%.20q is not i/n with i from 0 to n-1 and n up to %d", s, maxShards)
	}
	return exposition.Shard{Index: i, Of: n}, nil
}

// clusterWide reports whether f asks for every node.
func (f filter) clusterWide() bool { return len(f.nodes) == 0 && f.shard.Of < 2 }

var checkName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// filterOf reads the query. It knows neither every node nor every check, as
// versions differ: a name that it has not heard of selects nothing.
func filterOf(r *http.Request) (filter, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return filter{}, fmt.Errorf("query: %w", err)
	}
	f := filter{nodes: query["node"], checks: query["collect[]"]}
	if query.Has("shard") {
		if f.shard, err = shardOf(query.Get("shard")); err != nil {
			return filter{}, err
		}
	}
	if slices.Contains(f.nodes, "") {
		return filter{}, fmt.Errorf("node= is empty: give the name of a node or leave it out")
	}
	for _, name := range f.checks {
		if !checkName.MatchString(name) {
			return filter{}, fmt.Errorf("collect[]=%q is not the name of a check, such as etcd", name)
		}
	}
	return f, nil
}

// metrics is the whole cluster, or the part of it that is asked for.
func (s *server) metrics(w http.ResponseWriter, r *http.Request) {
	f, err := filterOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	view := s.View()
	if !s.partly(view, f) || !s.relay(w, r) {
		s.render(w, r, view)
	}
	if f.clusterWide() && r.Method == http.MethodGet {
		s.lastScrape.note()
	}
}

// render answers with what this node holds.
func (s *server) render(w http.ResponseWriter, r *http.Request, view mesh.View) {
	f, err := filterOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	format := exposition.Negotiate(r.Header.Get("Accept"))
	encoding := exposition.NegotiateEncoding(r.Header.Get("Accept-Encoding"))
	w.Header().Set("Content-Type", format.ContentType())
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	if encoding != exposition.Identity {
		w.Header().Set("Content-Encoding", encoding.String())
	}
	err = s.Renderer.Write(w, view, exposition.Options{
		Format: format, Encoding: encoding, Nodes: f.nodes, Shard: f.shard, Checks: f.checks, Timestamps: s.Timestamps,
		ScrapedNodes: s.census.scraped(view),
	})
	if err != nil {
		s.abort(r, err)
	}
}

// abort cuts off a client that went away or was too slow, so that it does not
// take what it has for the whole.
func (s *server) abort(r *http.Request, err error) {
	s.unanswered.WithLabelValues(unfinished).Inc()
	level.Debug(s.Logger).Log("msg", "Scrape ended early", "peer", r.RemoteAddr, "err", err)
	panic(http.ErrAbortHandler)
}
