package mesh

import (
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/reach"
)

// View is a consistent, read-only picture of the whole cluster, as one node
// holds it at one moment.
type View struct {
	Self  string // the node that answers
	Nodes []Node // sorted by name; every node known and not forgotten, Self among them

	// Partial is whether this node holds of others that are up the verdicts
	// alone: it is a leaf, or has just ceased to be one.
	Partial bool

	// Partition is who is reached and who is not, and what is cut. It is
	// judged once a second.
	Partition reach.Picture
}

// Node is what is known of one node.
type Node struct {
	Name   string
	Member Member

	// Snapshot is the newest one that has arrived; nil when none has, or when
	// it is older than --mesh.stale-after: then nothing is known any more.
	// Verdicts that urgent news has told since stand in it, or, when it is
	// too old, alone.
	Snapshot *health.Snapshot
	// Age is how old that snapshot is: its age at the sender plus the time
	// it was held here. Negative when none ever arrived.
	Age time.Duration
	// Up is whether the node's own words arrive at the pace it promised. It
	// rests on the age alone, never on what serf says of the member.
	Up bool

	// Observers is how those find it that look at it directly.
	Observers reach.Observers

	Epoch, Version uint64 // of the newest frame
}

// Member is a node as the gossip sees it: where it is, and a hint on how it is.
type Member struct {
	State    MemberState
	Addr     string            // host of the gossip
	Exchange string            // host:port of the exchange
	Web      string            // host:port of the web interface; empty if it has none
	Version  string            // of the program
	Tags     map[string]string // roles, zone

	Announcement
	Since time.Time // when this node first heard of it

	fingerprint string // of its identity, as the gossip announces it
}

// MemberState is serf's word on a member: a hint, never a verdict.
type MemberState uint8

// The states a member can be in.
const (
	MemberUnknown MemberState = iota
	MemberAlive
	MemberLeaving
	MemberLeft
	MemberFailed
)

// MemberStates lists the states in the order of their numbers.
var MemberStates = []MemberState{MemberUnknown, MemberAlive, MemberLeaving, MemberLeft, MemberFailed}

// String returns unknown, alive, leaving, left or failed.
func (s MemberState) String() string {
	return [...]string{"unknown", "alive", "leaving", "left", "failed"}[s]
}

// MarshalText makes MemberState read as a word in JSON.
func (s MemberState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts the words of String.
func (s *MemberState) UnmarshalText(text []byte) error {
	for _, state := range MemberStates {
		if state.String() == string(text) {
			*s = state
			return nil
		}
	}
	*s = MemberUnknown
	return nil
}

// Node returns the node of that name, and whether there is one.
func (v *View) Node(name string) (Node, bool) {
	for _, n := range v.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}
