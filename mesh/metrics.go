package mesh

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/mesh/reach"
)

// viewCollector exports what this node thinks of the mesh. It is a fact of
// this node and travels like any other, so that views can be compared.
type viewCollector struct{ mesh *Mesh }

var (
	membersDesc   = prometheus.NewDesc("grapevine_mesh_members", "Members in the gossip as this node sees it, by state.", []string{"state"}, nil)
	sizeDesc      = prometheus.NewDesc("grapevine_mesh_partition_size", "Nodes on this node's side of the mesh: those it reaches, itself among them.", nil, nil)
	ratioDesc     = prometheus.NewDesc("grapevine_mesh_reachable_ratio", "Share of the nodes known to this one that it reaches.", nil, nil)
	knownDesc     = prometheus.NewDesc("grapevine_mesh_partition_members_known", "Nodes that this node knows of, itself among them, but for those that said goodbye.", nil, nil)
	reachedDesc   = prometheus.NewDesc("grapevine_mesh_partition_members_reached", "Of the nodes known those that this node reaches: their words come in time, or they answer it. Itself among them.", nil, nil)
	otherDesc     = prometheus.NewDesc("grapevine_mesh_partition_members_other_side", "Of the nodes known those that fell silent together: the other side of a split.", nil, nil)
	downDesc      = prometheus.NewDesc("grapevine_mesh_partition_members_down", "Of the nodes known those that fell silent alone, or as they had announced.", nil, nil)
	sinceDesc     = prometheus.NewDesc("grapevine_mesh_partition_start_timestamp_seconds", "When the other side of a split was last reached, by this node's clock; 0: there is no split.", nil, nil)
	viewDesc      = prometheus.NewDesc("grapevine_mesh_partition_view_hash", "Hash of the names of the nodes that this one reaches: nodes with the same number reach the same ones.", nil, nil)
	peerUpDesc    = prometheus.NewDesc(peerUpName, "Whether a way to a neighbour on the ring works, tried directly, by path: exchange and gossip there and back, inbound for packets of the gossip that arrive. A way that was never seen working, nor found broken yet, is left out.", []string{labelPeer, labelPath}, nil)
	epochDesc     = prometheus.NewDesc("grapevine_mesh_epoch", "Epoch in which this node speaks: how often it has started.", nil, nil)
	roleDesc      = prometheus.NewDesc("grapevine_mesh_role", "Whether this node has the role: full where everybody holds all series, else aggregator or leaf.", []string{"role"}, nil)
	projectedDesc = prometheus.NewDesc("grapevine_mesh_projected_bytes_per_second", "What each node would receive if all held all series: above --mesh.byte-budget there are aggregators and leaves.", nil, nil)
	frameSizeDesc = prometheus.NewDesc("grapevine_mesh_frame_bytes", "Size of this node's newest frame, without its schema.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c viewCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{membersDesc, sizeDesc, ratioDesc, knownDesc, reachedDesc, otherDesc, downDesc, sinceDesc, viewDesc, peerUpDesc, epochDesc, frameSizeDesc, roleDesc, projectedDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Before Listen there is nothing.
func (c viewCollector) Collect(ch chan<- prometheus.Metric) {
	if c.mesh.gossip == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	states := map[MemberState]int{}
	for _, m := range c.mesh.gossip.all() {
		states[m.State]++
	}
	for _, s := range MemberStates[MemberAlive:] {
		gauge(membersDesc, float64(states[s]), s.String())
	}
	if p := c.mesh.reach.picture.Load(); p != nil {
		c.partition(gauge, p)
	}
	role, _, _ := c.mesh.roles.now()
	for _, r := range Roles {
		v := 0.0
		if r == role {
			v = 1
		}
		gauge(roleDesc, v, r.String())
	}
	gauge(projectedDesc, c.mesh.roles.load())
	gauge(epochDesc, float64(c.mesh.store.Epoch()))
	if held, _, ok := c.mesh.store.Node(c.mesh.cfg.Node); ok {
		gauge(frameSizeDesc, float64(held.Bytes))
	}
}

// partition tells what this node makes of who is reached, and its own links.
func (c viewCollector) partition(gauge func(*prometheus.Desc, float64, ...string), p *reach.Picture) {
	reached := float64(len(p.Reached))
	gauge(sizeDesc, reached)
	gauge(ratioDesc, reached/float64(p.Known))
	gauge(knownDesc, float64(p.Known))
	gauge(reachedDesc, reached)
	gauge(otherDesc, float64(len(p.OtherSide)))
	gauge(downDesc, float64(len(p.Down)))
	gauge(viewDesc, float64(p.View))
	since := 0.0
	if !p.Since.IsZero() {
		since = float64(p.Since.Unix())
	}
	gauge(sinceDesc, since)
	for peer, l := range c.mesh.reach.links(c.mesh.cfg.Now()) {
		for _, way := range []struct {
			path  string
			state reach.State
		}{{pathExchange, l.Exchange}, {pathGossip, l.Gossip}, {pathInbound, l.Inbound}} {
			switch way.state {
			case reach.Open:
				gauge(peerUpDesc, 1, peer, way.path)
			case reach.Shut:
				gauge(peerUpDesc, 0, peer, way.path)
			}
		}
	}
}
