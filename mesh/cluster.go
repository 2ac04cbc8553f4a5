package mesh

import (
	"slices"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/reach"
)

// grace is how long a member that was just heard of may stay silent before
// its silence means anything.
const grace = 15 * time.Second

// View is the cluster as seen from here, now.
func (m *Mesh) View() View {
	now := m.cfg.Now()
	view := View{Self: m.cfg.Node}
	if picture := m.reach.picture.Load(); picture != nil {
		view.Partition = *picture
	}
	members := m.gossip.all()
	held := m.store.Nodes()
	view.Nodes = make([]Node, 0, max(len(held), len(members)))
	for _, held := range held {
		node := Node{
			Name: held.Name, Member: members[held.Name], Snapshot: held.Snapshot,
			Age: max(0, now.Sub(held.Fresh)), Epoch: held.Version.Epoch, Version: held.Version.Number,
		}
		delete(members, held.Name)
		node.Up = node.Age <= min(reach.Overdue(held.Interval), m.cfg.StaleAfter)
		if node.Age > m.cfg.StaleAfter {
			node.Snapshot = nil
		}
		view.Partial = view.Partial || held.Bare && node.Up
		node.Snapshot = m.urgent.shownIn(node.Snapshot, held, now)
		view.Nodes = append(view.Nodes, node)
	}
	for name, member := range members {
		if member.State != MemberLeft && (now.Sub(member.Since) > grace || name == m.cfg.Node) {
			view.Nodes = append(view.Nodes, Node{Name: name, Member: member, Age: -1})
		}
	}
	for i := range view.Nodes {
		view.Nodes[i].Observers = view.Partition.Observers[view.Nodes[i].Name]
	}
	slices.SortFunc(view.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return view
}
