package web

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// scrapedName is the gauge by which each node tells whether it is scraped for
// the whole cluster. It travels in the node's snapshot, so that whoever is
// asked can count those that are.
const scrapedName = "grapevine_web_cluster_scraped"

// scrapedFor is how long a scrape counts: longer than the usual intervals, and
// short enough to see within a coffee that a mistake is mended.
const scrapedFor = 5 * time.Minute

// lastScrape is when this node last answered a cluster-wide scrape.
type lastScrape struct {
	now func() time.Time
	at  atomic.Pointer[time.Time] // nil: never
}

func newLastScrape(now func() time.Time, reg prometheus.Registerer) *lastScrape {
	l := &lastScrape{now: now}
	promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{
		Name: scrapedName,
		Help: "1 if this node has answered a cluster-wide scrape in the last five minutes, else 0. One node is enough, or one for each Prometheus.",
	}, l.value)
	return l
}

func (l *lastScrape) note() {
	now := l.now()
	l.at.Store(&now)
}

func (l *lastScrape) value() float64 {
	if at := l.at.Load(); at != nil && l.now().Sub(*at) < scrapedFor {
		return 1
	}
	return 0
}

// census counts the nodes that are scraped for the whole cluster. It remembers
// where each schema has the gauge, by the node's place in the last View: a
// place seldom gets another schema, and to compare a thousand pointers takes
// microseconds.
type census struct {
	mu     sync.Mutex // guards places
	places []place
}

// place is where in a schema's values the gauge is; -1 where it has none.
type place struct {
	schema *health.Schema
	value  int
}

// scraped returns how many nodes of v are up and say that they were scraped.
func (c *census) scraped(v mesh.View) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.places = slices.Grow(c.places[:0], len(v.Nodes))[:len(v.Nodes)]
	count := 0
	for i := range v.Nodes {
		n, p := &v.Nodes[i], &c.places[i]
		if n.Snapshot == nil || n.Snapshot.Schema == nil {
			*p = place{}
			continue
		}
		if p.schema != n.Snapshot.Schema {
			*p = place{n.Snapshot.Schema, placeOf(n.Snapshot.Schema)}
		}
		if n.Up && p.value >= 0 && p.value < len(n.Snapshot.Values) && n.Snapshot.Values[p.value] == 1 {
			count++
		}
	}
	return count
}

func placeOf(schema *health.Schema) int {
	at, found := slices.BinarySearchFunc(schema.Families, scrapedName, func(f health.Family, name string) int {
		return strings.Compare(f.Name, name)
	})
	if !found || schema.Families[at].Width() != 1 {
		return -1
	}
	value := 0
	for i := range at {
		value += schema.Families[i].Width()
	}
	return value
}
