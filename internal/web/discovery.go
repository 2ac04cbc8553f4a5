package web

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/grapevine-mesh/grapevine/mesh"
)

// TargetGroup is one entry of Prometheus' HTTP service discovery.
type TargetGroup struct {
	Targets []string          `json:"targets"` // host:port
	Labels  map[string]string `json:"labels"`
}

// discovery lists every live node for those who scrape each by itself.
func (s *server) discovery(w http.ResponseWriter, _ *http.Request) {
	groups := []TargetGroup{} // never null: an empty list is an answer
	view := s.View()
	for i := range view.Nodes {
		n := &view.Nodes[i]
		if n.Member.Web == "" || !live(n) {
			continue
		}
		groups = append(groups, TargetGroup{
			Targets: []string{n.Member.Web},
			Labels: map[string]string{
				// Whoever scrapes each node wants each one's own series,
				// not the whole cluster from every one of them.
				"__metrics_path__":         LocalMetricsPath,
				"__meta_grapevine_node":    n.Name,
				"__meta_grapevine_version": n.Member.Version,
			},
		})
	}
	s.writeJSON(w, groups)
}

// live is a node to scrape: it is heard of by either path, and is not going.
func live(n *mesh.Node) bool {
	switch n.Member.State {
	case mesh.MemberAlive:
		return true
	case mesh.MemberLeaving, mesh.MemberLeft:
		return false
	default:
		return n.Up
	}
}

// writeJSON sends v, or 500 if v cannot be encoded.
func (s *server) writeJSON(w http.ResponseWriter, v any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // the client is gone; there is nobody to tell
}
