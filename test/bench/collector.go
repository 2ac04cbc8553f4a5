package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// collector emits the series of all nodes as constant metrics: what an exporter
// does that keeps its values elsewhere.
type collector struct {
	view     func() mesh.View
	labelled bool // with the label node
	descs    map[string]*prometheus.Desc
}

// newCollector returns a collector for nodes that all have the families of the
// first.
func newCollector(view func() mesh.View, labelled bool) *collector {
	c := &collector{view: view, labelled: labelled, descs: map[string]*prometheus.Desc{}}
	for _, f := range view().Nodes[0].Snapshot.Schema.Families {
		var names []string
		for _, l := range f.Series[0].Labels {
			names = append(names, l.Name)
		}
		if labelled {
			names = append(names, "node")
		}
		c.descs[f.Name] = prometheus.NewDesc(f.Name, f.Help, names, nil)
	}
	return c
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, n := range c.view().Nodes {
		values := n.Snapshot.Values
		for i := range n.Snapshot.Schema.Families {
			f := &n.Snapshot.Schema.Families[i]
			desc := c.descs[f.Name]
			for j := range f.Series {
				s := &f.Series[j]
				labels := make([]string, 0, len(s.Labels)+1)
				for _, l := range s.Labels {
					labels = append(labels, l.Value)
				}
				if c.labelled {
					labels = append(labels, n.Name)
				}
				width := s.Width(f.Type)
				ch <- constant(desc, f.Type, s.Bounds, values[:width], labels)
				values = values[width:]
			}
		}
	}
}

// constant is a series of one of the types that a fleet has.
func constant(desc *prometheus.Desc, t health.Type, bounds, values []float64, labels []string) prometheus.Metric {
	switch t {
	case health.Counter:
		return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, values[0], labels...)
	case health.Histogram:
		buckets := make(map[float64]uint64, len(bounds))
		for i, b := range bounds {
			buckets[b] = uint64(values[i])
		}
		return prometheus.MustNewConstHistogram(desc, uint64(values[len(bounds)+1]), values[len(bounds)], buckets, labels...)
	default:
		return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, values[0], labels...)
	}
}
