// Package exposition renders a mesh.View as the text formats that scrapers
// read. It stands between mesh and internal/web, and it alone knows these
// formats: one block for each metric family over all nodes, every series with
// the label "node".
package exposition

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// NodeLabel is the name of the label that says whose fact a series is.
const NodeLabel = "node"

// Options choose what of a View is shown, and how.
type Options struct {
	Format Format

	// Nodes are the names of the nodes to show; none means all.
	Nodes []string
	// Shard limits the nodes further.
	Shard Shard
	// Checks limits what nodes say of themselves to these checks: families
	// that begin with grapevine_NAME_, and the series of grapevine_check_*
	// with the label check="NAME". None means everything.
	Checks []string
	// Timestamps adds to each sample of a node when the node took it: our
	// clock now, minus the snapshot's age.
	Timestamps bool
}

// chunk is how much is rendered before it is handed on, so that a client that
// reads slowly holds this much memory and no lock.
const chunk = 64 << 10

// Renderer writes Views and keeps what is worth keeping from one rendering to
// the next: the fixed text of each schema, and how their families merge.
// It may be used by several goroutines at once.
type Renderer struct {
	now     func() time.Time
	dropped *prometheus.GaugeVec

	mu     sync.Mutex            // guards all below
	caches [len(formats)]cache   // by Format
	stamps map[string]frameStamp // by node

	scratch sync.Pool // of *scratch
}

// New returns a Renderer that registers its own metrics with reg.
func New(reg prometheus.Registerer) *Renderer {
	r := &Renderer{
		now: time.Now,
		dropped: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
			Name: "grapevine_exposition_dropped_families",
			Help: "Metric families of nodes that were left out of the last cluster-wide rendering, by reason: " +
				"type_conflict (most nodes give the name another type) or malformed.",
		}, []string{"reason"}),
		stamps: map[string]frameStamp{},
	}
	r.dropped.WithLabelValues("type_conflict")
	r.dropped.WithLabelValues("malformed")
	r.scratch.New = func() any { return &scratch{buf: make([]byte, 0, chunk+chunk/4)} }
	return r
}

// scratch is what one rendering needs and the next can use again.
type scratch struct {
	buf   []byte
	nodes []shown
	key   []*health.Schema // by node
}

// shown is one node of the View as this rendering needs it.
type shown struct {
	*mesh.Node
	label  string    // its name, escaped
	schema int       // index in plan.schemas; -1 when it has no snapshot to show
	values []float64 // as long as that schema is wide
	stamp  []byte    // timestamp with a blank before it; nil for none

	answers, complete bool // of the node that answers: that it does, and whether with all there is
}

// Write renders v to w in chunks. It returns the first error of w. Nodes
// without a snapshot are shown by the answering node's own gauges alone.
func (r *Renderer) Write(w io.Writer, v mesh.View, o Options) error {
	s := r.scratch.Get().(*scratch)
	defer func() {
		clear(s.nodes) // or the pool would keep a View alive
		clear(s.key)
		s.buf, s.nodes, s.key = s.buf[:0], s.nodes[:0], s.key[:0]
		if cap(s.buf) <= 4*chunk {
			r.scratch.Put(s)
		}
	}()
	s.choose(v, o)
	p := r.prepare(s, len(v.Nodes), o)
	sel := selectChecks(o.Checks)
	for i := range p.families {
		f := &p.families[i]
		scope := sel.family(f.name)
		if f.own != nil {
			scope = whole
		}
		if scope == nothing {
			continue
		}
		if err := s.family(w, p, f, sel, scope); err != nil {
			return err
		}
	}
	if o.Format == OpenMetrics {
		s.buf = append(s.buf, "# EOF\n"...)
	}
	return s.flush(w)
}

// choose fills s.nodes with the nodes of v that o asks for.
func (s *scratch) choose(v mesh.View, o Options) {
	for i := range v.Nodes {
		n := &v.Nodes[i]
		if len(o.Nodes) > 0 && !slices.Contains(o.Nodes, n.Name) || !o.Shard.Has(n.Name) {
			continue
		}
		s.nodes = append(s.nodes, shown{
			Node: n, label: escapedLabel(n.Name), schema: -1, answers: n.Name == v.Self, complete: !v.Partial,
		})
	}
}

// family renders one block. A family that turns out to have no series to show
// leaves nothing behind, not even its header.
func (s *scratch) family(w io.Writer, p *plan, f *family, sel selection, scope scope) error {
	start := len(s.buf)
	s.buf = append(s.buf, f.header...)
	body, flushed := len(s.buf), false
	for i := range s.nodes {
		n := &s.nodes[i]
		switch {
		case f.own != nil:
			s.buf = f.own.append(s.buf, n)
		case n.schema < 0 || f.in[n.schema] < 0:
			continue
		default:
			s.buf = p.schemas[n.schema].append(s.buf, int(f.in[n.schema]), n, sel, scope)
		}
		if len(s.buf) >= chunk && len(s.buf) > body {
			if err := s.flush(w); err != nil {
				return err
			}
			body, flushed = 0, true
		}
	}
	if !flushed && len(s.buf) == body {
		s.buf = s.buf[:start]
	}
	return nil
}

func (s *scratch) flush(w io.Writer) error {
	if len(s.buf) == 0 {
		return nil
	}
	_, err := w.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// typeOf maps a type that a newer version may know to one that we know.
func typeOf(t health.Type) health.Type {
	if t > health.Histogram {
		return health.Untyped
	}
	return t
}
