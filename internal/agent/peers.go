package agent

import (
	"net"
	"net/netip"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// peers are the other nodes, as the checks that probe them need them. It is
// called while the mesh runs only.
func (a *Agent) peers() []collectors.Peer {
	view := a.mesh.View()
	peers := make([]collectors.Peer, 0, len(view.Nodes))
	for i := range view.Nodes {
		if n := &view.Nodes[i]; n.Name != view.Self && n.Member.State != mesh.MemberLeft {
			peers = append(peers, a.peer(n))
		}
	}
	return peers
}

func (a *Agent) peer(n *mesh.Node) collectors.Peer {
	p := collectors.Peer{Name: n.Name, Overlay: n.Member.Overlay, Quiet: n.Member.Maintenance, Since: n.Member.Since}
	if echo, err := netip.ParseAddrPort(n.Member.Echo); err == nil {
		p.Host, p.Port = []netip.Addr{echo.Addr().Unmap()}, echo.Port()
	} else if host, _, err := net.SplitHostPort(n.Member.Addr); err == nil {
		if addr, err := netip.ParseAddr(host); err == nil {
			p.Host = []netip.Addr{addr.Unmap()}
		}
	}
	if n.Member.State == mesh.MemberLeaving && p.Quiet == "" {
		p.Quiet = string(collectors.ShuttingDown)
	}
	// Those who probe a node that is down say so for a while; then the mesh
	// alone does, until the node is back or forgotten.
	if !n.Up && n.Age > a.cfg.StaleAfter && p.Quiet == "" {
		p.Quiet = "silent in the mesh, too"
	}
	return p
}

// announce tells the others where this node can be probed, and whether it is
// under maintenance, when that has changed.
func (a *Agent) announce() error {
	said := mesh.Announcement{Echo: a.echo.Addr().String()}
	// Without a pod network there is nothing to tell: the check is off then.
	said.Overlay, _ = collectors.OverlayAddrs(a.settings.Load().Checks["overlay"])
	if states := a.schedule.Maintenance(); len(states) > 0 {
		said.Maintenance = string(states[0])
	}
	return a.mesh.Announce(said)
}
