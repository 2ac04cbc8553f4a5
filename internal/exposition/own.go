package exposition

import "github.com/grapevine-mesh/grapevine/health"

// ownFamily is what the answering node says of each node in its View. These
// are gauges whose only label is the node's name.
type ownFamily struct {
	health.Family
	value func(*shown) (v float64, ok bool)
}

var own = []ownFamily{
	{
		health.Family{
			Name: "grapevine_mesh_cluster_scraped_nodes",
			Help: "Nodes that have answered a cluster-wide scrape in the last five minutes, as seen by the node that answers this one. " +
				"One is enough; each stores every node's series once more.",
			Type: health.Gauge,
		},
		func(n *shown) (float64, bool) { return float64(n.scraped), n.answers && n.complete },
	},
	{
		health.Family{
			Name: "grapevine_mesh_scrape_complete",
			Help: "Whether the node that answers the scrape holds the series of all nodes that are up, and not the verdicts alone of some.",
			Type: health.Gauge,
		},
		func(n *shown) (float64, bool) {
			if n.complete {
				return 1, n.answers
			}
			return 0, n.answers
		},
	},
	{
		health.Family{
			Name: "grapevine_node_observers",
			Help: "Nodes that try the way to the node directly and whose words arrive, as seen by the node that answers the scrape.",
			Type: health.Gauge,
		},
		func(n *shown) (float64, bool) { return float64(n.Observers.Looking), n.Observers.Looking > 0 },
	},
	{
		health.Family{
			Name: "grapevine_node_observers_reaching",
			Help: "Of grapevine_node_observers those whose exchange with the node works.",
			Type: health.Gauge,
		},
		func(n *shown) (float64, bool) {
			return float64(n.Observers.Looking - len(n.Observers.Failing)), n.Observers.Looking > 0
		},
	},
	{
		health.Family{
			Name: "grapevine_node_snapshot_age_seconds",
			Help: "Age of the newest data that has arrived from the node, as seen by the node that answers the scrape.",
			Type: health.Gauge,
		},
		func(n *shown) (float64, bool) { return n.Age.Seconds(), n.Age >= 0 },
	},
	{
		health.Family{
			Name: "grapevine_node_up",
			Help: "1 if the node's data arrives at the pace it promised, as seen by the node that answers the scrape, else 0.",
			Type: health.Gauge,
		},
		func(n *shown) (float64, bool) {
			if n.Up {
				return 1, true
			}
			return 0, true
		},
	},
}

// ViewFamilies describes the gauges that every rendering adds for each node
// of the View, sorted by name. Their only label is NodeLabel.
func ViewFamilies() []health.Family {
	families := make([]health.Family, len(own))
	for i := range own {
		families[i] = own[i].Family
	}
	return families
}

// ownTemplate is an ownFamily laid out in one format.
type ownTemplate struct {
	*ownFamily
	body body
}

func ownForm(o *ownFamily, f Format) family {
	one := o.Family
	one.Series = make([]health.Series, 1)
	return family{
		name: o.Name, kind: o.Type, header: f.header(o.Name, o.Help, o.Type, false),
		own: &ownTemplate{o, newTemplate(&one, f).body},
	}
}

func (o *ownTemplate) append(dst []byte, n *shown) []byte {
	v, ok := o.value(n)
	if !ok {
		return dst
	}
	n.own[0] = v
	stamp := n.stamp
	n.stamp = nil // it is true now, not when the node took its snapshot
	dst = o.body.append(dst, n, n.own[:], nil)
	n.stamp = stamp
	return dst
}

// size is how many bytes of Protobuf append appends.
func (o *ownTemplate) size(n *shown) int {
	if _, ok := o.value(n); !ok {
		return 0
	}
	stamp := n.stamp
	n.stamp = nil
	size := o.body.(*messages).size(n, n.own[:], nil)
	n.stamp = stamp
	return size
}
