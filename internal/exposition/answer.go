package exposition

import (
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// answer is one rendering of a View, and what it needs that the next one can
// use again.
type answer struct {
	Options
	sel         selection
	nodes       []shown // that Options ask for, in the View's order
	key         []*health.Schema
	form        *form
	generations []uint64 // by group of nodes, if there is a shelf
	shelf       *shelf   // nil when a part of the View is asked for
	stale       []int    // sections
	marks       []byte   // labels and stamps of nodes, one after the other

	stream
}

// shown is one node of the View as this rendering needs it.
type shown struct {
	*mesh.Node
	label  []byte // its name, as the format writes it
	column        // of its schema
	values []float64
	stamp  []byte // as the format writes it; none without Options.Timestamps

	// Of the node that answers: that it does, whether with all there is, and
	// Options.ScrapedNodes.
	answers, complete bool
	scraped           int

	own [1]float64 // a value of an ownFamily
}

// choose fills in which nodes of v are asked for.
func (a *answer) choose(v mesh.View, o Options) {
	a.Options, a.sel = o, selectChecks(o.Checks)
	for i := range v.Nodes {
		n := &v.Nodes[i]
		if len(o.Nodes) > 0 && !slices.Contains(o.Nodes, n.Name) || !o.Shard.Has(n.Name) {
			continue
		}
		a.nodes = append(a.nodes, shown{Node: n, answers: n.Name == v.Self, complete: !v.Partial, scraped: o.ScrapedNodes})
	}
}

// forget drops what the answer refers to.
func (a *answer) forget() {
	clear(a.nodes)
	clear(a.key)
	*a = answer{nodes: a.nodes[:0], key: a.key[:0], generations: a.generations[:0], stale: a.stale[:0], marks: a.marks[:0]}
}

// mark takes over marks with something appended, and returns that.
func (a *answer) mark(marks []byte) []byte {
	start := len(a.marks)
	a.marks = marks
	return marks[start:len(marks):len(marks)]
}

// keeps reports whether the shelf has the section, once it is up to date. What
// is not compressed is never kept: it is rendered about as fast as it could be
// copied, and would take ten times the memory of all else.
func (a *answer) keeps(s *section) bool {
	if a.shelf == nil || s.own || a.Encoding == Identity {
		return false
	}
	for _, f := range a.form.families[s.families[0]:s.families[1]] {
		if a.sel.family(f.name) != whole {
			return false
		}
	}
	return true
}

// write renders and hands on all sections.
func (a *answer) write(w io.Writer) error {
	a.open(w, a.Encoding)
	defer a.close()
	for i := range a.form.sections {
		if p := a.kept(i); p != nil {
			a.desk.plain = a.opening(a.desk.plain, i)
			if err := a.add(p); err != nil {
				return err
			}
			continue
		}
		a.desk.plain = a.render(a.opening(a.desk.plain, i), i)
		if len(a.desk.plain) >= plainBytes { // else there is room for the next one
			if err := a.spill(); err != nil {
				return err
			}
		}
	}
	if a.Format == OpenMetrics {
		a.desk.plain = append(a.desk.plain, "# EOF\n"...)
	}
	return a.end()
}

// opening appends what stands before a section and is never kept.
func (a *answer) opening(dst []byte, section int) []byte {
	if s := &a.form.sections[section]; s.part && s.groups[0] == 0 {
		return a.header(dst, s.families[0], section)
	}
	return dst
}

// kept is a section as the shelf has it; nil if it does not.
func (a *answer) kept(section int) *piece {
	s := &a.form.sections[section]
	if !a.keeps(s) {
		return nil
	}
	return a.shelf.piece(a.form, section, latest(a.generations, s))
}

// piece renders and encodes a section for the shelf.
func (a *answer) piece(section int, d *desk) *piece {
	d.plain = a.render(d.plain[:0], section)
	p := &piece{generation: latest(a.generations, &a.form.sections[section]), size: len(d.plain)}
	if a.Encoding == Gzip {
		p.sum = checksumOf(d.plain)
	}
	d.out = d.encoder.encode(d.out[:0], d.plain, a.Encoding)
	p.data = slices.Clone(d.out)
	d.plain = d.plain[:0]
	return p
}

// render appends a section. It may be called by several goroutines at once,
// for different sections.
func (a *answer) render(dst []byte, section int) []byte {
	s := &a.form.sections[section]
	for f := s.families[0]; f < s.families[1]; f++ {
		if !s.part {
			dst = a.header(dst, f, section)
		}
		only, scope := a.only(f)
		if scope == nothing {
			continue
		}
		own, in := a.form.families[f].own, a.in(s)
		for i := range in {
			n := &in[i]
			if own != nil {
				dst = own.append(dst, n)
			} else if t := n.family(f); t != nil {
				dst = t.body.append(dst, n, n.values[t.first:t.first+t.width], only)
			}
		}
	}
	return dst
}

// in is the nodes that a section is about.
func (a *answer) in(s *section) []shown {
	return a.nodes[s.groups[0]*groupSize : min(s.groups[1]*groupSize, len(a.nodes))]
}

// only is what is shown of a family: the series that the selection has; all of
// them if that is nil.
func (a *answer) only(family int) (*selection, scope) {
	f := &a.form.families[family]
	if f.own != nil {
		return nil, whole
	}
	scope := a.sel.family(f.name)
	if scope == some {
		return &a.sel, some
	}
	return nil, scope
}

// family is that of the form as the node's schema has it; nil if it does not.
func (n *shown) family(f int) *placed {
	if n.fixed == nil || n.at[f] < 0 {
		return nil
	}
	return &n.fixed.families[n.at[f]]
}

// header appends what stands before a family, if any of its series is shown.
// The family is, or begins with, a section.
func (a *answer) header(dst []byte, family, section int) []byte {
	only, scope := a.only(family)
	if scope == nothing {
		return dst
	}
	header := a.form.families[family].header
	if a.Format == Protobuf {
		size := a.size(family, section, only)
		if size == 0 {
			return dst
		}
		dst = protowire.AppendVarint(dst, uint64(len(header)+size))
	} else if !a.shows(family, only) {
		return dst
	}
	return append(dst, header...)
}

// size is how many bytes of Protobuf a family's series take, from the section
// on that it stands in or begins with.
func (a *answer) size(family, section int, only *selection) int {
	size := 0
	var last struct { // most nodes are like the one before
		body        *messages
		marks, size int
	}
	for i := section; i < len(a.form.sections); i++ {
		s := &a.form.sections[i]
		if s.families[0] > family {
			break
		}
		if s.part {
			if p := a.kept(i); p != nil {
				size += p.size
				continue
			}
		}
		own, in := a.form.families[family].own, a.in(s)
		for j := range in {
			n := &in[j]
			if own != nil {
				size += own.size(n)
			} else if t := n.family(family); t != nil {
				b, marks := t.body.(*messages), len(n.label)+len(n.stamp)
				if b != last.body || marks != last.marks || !b.sizedByMarks() {
					last.body, last.marks, last.size = b, marks, b.size(n, n.values[t.first:t.first+t.width], only)
				}
				size += last.size
			}
		}
	}
	return size
}

// shows reports whether any node shows any series of a family.
func (a *answer) shows(family int, only *selection) bool {
	own := a.form.families[family].own
	for i := range a.nodes {
		n := &a.nodes[i]
		if own != nil {
			if _, ok := own.value(n); ok {
				return true
			}
		} else if t := n.family(family); t != nil && (only == nil || only.hasAny(t.Series)) {
			return true
		}
	}
	return false
}
