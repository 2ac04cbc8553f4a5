package web

import (
	"net/http"

	"github.com/grapevine-mesh/grapevine/mesh"
)

// Members is who is in the mesh as one node sees it: the body of MembersPath.
type Members struct {
	Node    string   `json:"node"`    // the node that answers
	Members []Member `json:"members"` // sorted by name; never null
}

// Member is one node of the mesh.
type Member struct {
	Name     string            `json:"name"`
	State    mesh.MemberState  `json:"state"` // what the gossip says: a hint
	Up       bool              `json:"up"`    // whether its data arrives
	Addr     string            `json:"addr,omitempty"`
	Exchange string            `json:"exchange,omitempty"` // host:port
	Web      string            `json:"web,omitempty"`      // host:port
	Version  string            `json:"version,omitempty"`  // of its program
	Tags     map[string]string `json:"tags,omitempty"`

	// AgeSeconds is how old its newest data is; nil when none ever arrived.
	AgeSeconds *float64 `json:"age_seconds,omitempty"`
	// Epoch and FrameVersion are of the newest frame; 0 when none arrived.
	Epoch        uint64 `json:"epoch"`
	FrameVersion uint64 `json:"frame_version"`
}

func (s *server) members(w http.ResponseWriter, _ *http.Request) {
	view := s.View()
	out := Members{Node: s.Node, Members: make([]Member, 0, len(view.Nodes))}
	for i := range view.Nodes {
		n := &view.Nodes[i]
		out.Members = append(out.Members, Member{
			Name: n.Name, State: n.Member.State, Up: n.Up,
			Addr: n.Member.Addr, Exchange: n.Member.Exchange, Web: n.Member.Web,
			Version: n.Member.Version, Tags: n.Member.Tags,
			AgeSeconds: ageSeconds(n), Epoch: n.Epoch, FrameVersion: n.Version,
		})
	}
	s.writeJSON(w, out)
}
