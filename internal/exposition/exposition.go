// Package exposition renders a mesh.View as what scrapers read: text,
// OpenMetrics or protobuf, compressed or not. It stands between mesh and internal/web, and it alone knows these
// formats: one block for each metric family over all nodes, every series with
// the label "node".
package exposition

import (
	"io"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/grapevine-mesh/grapevine/mesh"
)

// NodeLabel is the name of the label that says whose fact a series is.
const NodeLabel = "node"

// Options choose what of a View is shown, and how.
type Options struct {
	Format   Format
	Encoding Encoding

	// Nodes are the names of the nodes to show; none means all.
	Nodes []string
	// Shard limits the nodes further.
	Shard Shard
	// Checks limits what nodes say of themselves to these checks: families
	// that begin with grapevine_NAME_, and the series of grapevine_check_*
	// with the label check="NAME". None means everything.
	Checks []string
	// ScrapedNodes is on how many nodes a cluster-wide scrape was answered
	// lately. It is not shown of a View that is partial.
	ScrapedNodes int
	// Timestamps adds to each sample of a node when the node took it: our
	// clock now, minus the snapshot's age.
	Timestamps bool
}

// Renderer writes Views and keeps what is worth keeping from one scrape to the
// next: what has been rendered, for as long as it is true and somebody asks.
// It may be used by several goroutines at once.
type Renderer struct {
	now     func() time.Time
	dropped *prometheus.GaugeVec

	mu          sync.Mutex // guards all below
	caches      map[Format]*cache
	shelves     map[shelfKey]*shelf
	generations generations           // of the whole View
	stamps      map[string]frameStamp // by node
	forgetting  *time.Timer           // nil while there is nothing to forget

	answers sync.Pool // of *answer
}

// shelfKey is a kind of answer.
type shelfKey struct {
	Format
	Encoding
	timestamps bool
}

// idleTime is how long what was rendered is kept that nobody asks for.
const idleTime = 5 * time.Minute

// New returns a Renderer that registers its own metrics with reg.
func New(reg prometheus.Registerer) *Renderer {
	r := &Renderer{
		now: time.Now,
		dropped: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
			Name: "grapevine_exposition_dropped_families",
			Help: "Metric families of nodes that were left out of the last cluster-wide rendering, by reason: " +
				"type_conflict (most nodes give the name another type) or malformed.",
		}, []string{"reason"}),
		caches:  map[Format]*cache{},
		shelves: map[shelfKey]*shelf{},
		stamps:  map[string]frameStamp{},
	}
	r.dropped.WithLabelValues("type_conflict")
	r.dropped.WithLabelValues("malformed")
	r.answers.New = func() any { return &answer{} }
	return r
}

// Write renders v to w. It returns the first error of w. Nodes without a
// snapshot are shown by the answering node's own gauges alone. It calls w
// without holding a lock, and however slowly w takes it, holds of its own no
// more than a piece of the answer.
func (r *Renderer) Write(w io.Writer, v mesh.View, o Options) error {
	a := r.answers.Get().(*answer)
	defer func() {
		a.forget() // or the pool would keep a View alive
		r.answers.Put(a)
	}()
	a.choose(v, o)
	r.prepare(a, len(v.Nodes))
	if a.shelf != nil {
		a.shelf.refresh(a)
	}
	return a.write(w)
}

// shelf returns where answers of a kind are kept. The caller holds r.mu.
func (r *Renderer) shelf(k shelfKey, now time.Time) *shelf {
	s, ok := r.shelves[k]
	if !ok {
		s = &shelf{}
		r.shelves[k] = s
	}
	s.used = now
	if r.forgetting == nil {
		r.forgetting = time.AfterFunc(idleTime, r.forget)
	}
	return s
}

// forget drops what nobody has asked for lately.
func (r *Renderer) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	inUse := map[Format]bool{}
	for k, s := range r.shelves {
		if now.Sub(s.used) >= idleTime {
			delete(r.shelves, k)
		} else {
			inUse[k.Format] = true
		}
	}
	maps.DeleteFunc(r.caches, func(f Format, _ *cache) bool { return !inUse[f] })
	if len(r.shelves) > 0 {
		r.forgetting = time.AfterFunc(idleTime, r.forget)
		return
	}
	r.forgetting = nil
	r.generations.forget()
	desks.forget()
}
