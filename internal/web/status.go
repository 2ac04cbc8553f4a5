package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// Status is the cluster's health as one node sees it: the body of StatusPath.
type Status struct {
	Node    string    `json:"node"`    // the node that answers
	Version string    `json:"version"` // of its program
	Time    time.Time `json:"time"`    // when it answered, by its clock

	// Status is the worst over all nodes and of what is wrong between them. A
	// node that is not up counts as unknown at least.
	Status    health.Status `json:"status"`
	Partition Partition     `json:"partition"`
	Problems  []Problem     `json:"problems"` // worst first; never null
	Nodes     []NodeStatus  `json:"nodes"`    // sorted by name; never null
}

// Partition tells whom the answering node reaches.
type Partition struct {
	Known int `json:"known"` // nodes known and not forgotten
	Up    int `json:"up"`    // of these, nodes whose data arrives

	Reached   []string `json:"reached"`              // the answering node and those it can speak with; never null
	OtherSide []string `json:"other_side,omitempty"` // those that fell silent together: the other side of a split
	Down      []string `json:"down,omitempty"`       // those that fell silent alone, or as they had announced
	// Since is when the other side was last reached, by the answering node's
	// clock.
	Since time.Time `json:"since,omitzero"`
	// View is a number that is the same on nodes that reach the same ones.
	View uint32 `json:"view"`

	Findings []Finding `json:"findings"` // worst first; never null
}

// Finding is one thing that is wrong between nodes.
type Finding struct {
	Kind   string        `json:"kind"` // split, one-way, exchange, gossip, pair, unreachable or alone
	Status health.Status `json:"status"`
	Reason string        `json:"reason"`
	Nodes  []string      `json:"nodes"`
	Since  time.Time     `json:"since,omitzero"` // by the answering node's clock
}

// Observers is how those find a node that look at it directly, and whose own
// data arrives.
type Observers struct {
	Looking int      `json:"looking"`
	Failing []string `json:"failing,omitempty"` // those that do not reach it
}

// Problem is one result that is not OK.
type Problem struct {
	Node     string        `json:"node"`
	Check    string        `json:"check"`
	Subject  string        `json:"subject"`
	Status   health.Status `json:"status"`
	Reason   string        `json:"reason"`
	Evidence *Evidence     `json:"evidence,omitempty"`

	// Since is when the status last changed, by the answering node's clock.
	Since time.Time `json:"since,omitzero"`
	// AgeSeconds is how long ago the check last looked.
	AgeSeconds float64 `json:"age_seconds"`
}

// Evidence is the measured value behind a verdict and its limit.
type Evidence struct {
	Value     Number `json:"value"`
	Threshold Number `json:"threshold"`
	Unit      string `json:"unit"`
}

// NodeStatus is one node as the answering one sees it.
type NodeStatus struct {
	Node   string           `json:"node"`
	Status health.Status    `json:"status"`
	Reason string           `json:"reason,omitempty"` // why it is unknown although no check says so, and who does not reach it
	Up     bool             `json:"up"`
	Member mesh.MemberState `json:"member"` // what the gossip says: a hint
	// AgeSeconds is how old its newest data is; nil when none ever arrived.
	AgeSeconds *float64 `json:"age_seconds,omitempty"`
	Version    string   `json:"version,omitempty"` // of its program

	Observers Observers `json:"observers"`
}

func (s *server) status(w http.ResponseWriter, _ *http.Request) {
	s.writeJSON(w, statusOf(s.View(), s.Node, s.Version, s.now()))
}

func statusOf(v mesh.View, self, version string, now time.Time) Status {
	status := Status{
		Node: self, Version: version, Time: now.UTC(),
		Status:    health.Unknown,
		Partition: partitionOf(&v),
		Problems:  []Problem{},
		Nodes:     make([]NodeStatus, 0, len(v.Nodes)),
	}
	for i := range v.Nodes {
		n := &v.Nodes[i]
		node := nodeStatus(n)
		if i == 0 || node.Status.WorseThan(status.Status) {
			status.Status = node.Status
		}
		if n.Up {
			status.Partition.Up++
		}
		status.Nodes = append(status.Nodes, node)
		status.Problems = append(status.Problems, problems(n, now)...)
	}
	for _, f := range status.Partition.Findings {
		if f.Status.WorseThan(status.Status) {
			status.Status = f.Status
		}
	}
	slices.SortStableFunc(status.Problems, compareProblems)
	return status
}

func partitionOf(v *mesh.View) Partition {
	seen := &v.Partition
	p := Partition{
		Known: len(v.Nodes), Reached: seen.Reached, OtherSide: seen.OtherSide, Down: seen.Down,
		Since: seen.Since, View: seen.View, Findings: make([]Finding, 0, len(seen.Findings)),
	}
	if p.Reached == nil {
		p.Reached = []string{v.Self}
	}
	for _, f := range seen.Findings {
		p.Findings = append(p.Findings, Finding{string(f.Kind), f.Status, f.Text, f.About, f.Since})
	}
	return p
}

func nodeStatus(n *mesh.Node) NodeStatus {
	out := NodeStatus{
		Node: n.Name, Up: n.Up, Member: n.Member.State, Version: n.Member.Version,
		AgeSeconds: ageSeconds(n), Status: health.Unknown,
		Observers: Observers{n.Observers.Looking, n.Observers.Failing},
	}
	switch {
	case n.Age < 0:
		out.Reason = "no data has ever arrived from this node"
	case n.Snapshot == nil:
		out.Reason = fmt.Sprintf("no data for %v", n.Age.Round(time.Second))
	default:
		out.Status = health.Worst(n.Snapshot.Results)
		if len(n.Snapshot.Results) == 0 {
			out.Reason = "no check of this node has a result"
		}
		if !n.Up {
			out.Reason = fmt.Sprintf("no data for %v", n.Age.Round(time.Second))
			if health.Unknown.WorseThan(out.Status) {
				out.Status = health.Unknown
			}
		}
	}
	if failing := len(n.Observers.Failing); failing > 0 {
		if out.Reason != "" {
			out.Reason += "; "
		}
		out.Reason += fmt.Sprintf("not reached by %d of the %d that look at it", failing, n.Observers.Looking)
	}
	if out.Version == "" && n.Snapshot != nil && n.Snapshot.Schema != nil {
		out.Version = n.Snapshot.Schema.Version
	}
	return out
}

func problems(n *mesh.Node, now time.Time) []Problem {
	if n.Snapshot == nil {
		return nil
	}
	var found []Problem
	for _, r := range n.Snapshot.Results {
		if r.Status == health.OK {
			continue
		}
		p := Problem{
			Node: n.Name, Check: r.Check, Subject: r.Subject, Status: r.Status, Reason: r.Reason,
			Since: r.Since, AgeSeconds: n.Age.Seconds(),
		}
		if !r.Observed.IsZero() {
			p.AgeSeconds = now.Sub(r.Observed).Seconds()
		}
		p.AgeSeconds = max(p.AgeSeconds, 0)
		if e := r.Evidence; e.Unit != "" {
			p.Evidence = &Evidence{Number(e.Value), Number(e.Threshold), e.Unit}
		}
		found = append(found, p)
	}
	return found
}

func compareProblems(a, b Problem) int {
	switch {
	case a.Status.WorseThan(b.Status):
		return -1
	case b.Status.WorseThan(a.Status):
		return +1
	}
	return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Check, b.Check), cmp.Compare(a.Subject, b.Subject))
}

func ageSeconds(n *mesh.Node) *float64 {
	if n.Age < 0 {
		return nil
	}
	s := n.Age.Seconds()
	return &s
}
