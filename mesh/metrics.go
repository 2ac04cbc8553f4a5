package mesh

import "github.com/prometheus/client_golang/prometheus"

// viewCollector exports what this node thinks of the mesh. It is a fact of
// this node and travels like any other, so that views can be compared.
type viewCollector struct{ mesh *Mesh }

var (
	membersDesc   = prometheus.NewDesc("grapevine_mesh_members", "Members in the gossip as this node sees it, by state.", []string{"state"}, nil)
	sizeDesc      = prometheus.NewDesc("grapevine_mesh_partition_size", "Nodes whose word arrives here in time, this one among them.", nil, nil)
	ratioDesc     = prometheus.NewDesc("grapevine_mesh_reachable_ratio", "Share of the nodes known to this one whose word arrives here in time.", nil, nil)
	epochDesc     = prometheus.NewDesc("grapevine_mesh_epoch", "Epoch in which this node speaks: how often it has started.", nil, nil)
	frameSizeDesc = prometheus.NewDesc("grapevine_mesh_frame_bytes", "Size of this node's newest frame, without its schema.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c viewCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{membersDesc, sizeDesc, ratioDesc, epochDesc, frameSizeDesc} {
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
	view := c.mesh.View()
	up := 0
	for _, n := range view.Nodes {
		if n.Up {
			up++
		}
	}
	gauge(sizeDesc, float64(up))
	gauge(ratioDesc, float64(up)/float64(max(1, len(view.Nodes))))
	gauge(epochDesc, float64(c.mesh.store.Epoch()))
	for _, held := range c.mesh.store.Nodes() {
		if held.Name == c.mesh.cfg.Node {
			gauge(frameSizeDesc, float64(held.Bytes))
		}
	}
}
