package exposition

import (
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/grapevine-mesh/grapevine/health"
)

// plan is how the families of a list of nodes merge into blocks. It is
// immutable and holds for as long as every node keeps its schema.
type plan struct {
	key       []*health.Schema // by node, in the order of the View; nil for a node without snapshot
	nodes     []column         // by node
	form      *form
	conflicts int // families of nodes left out for the type of another of that name
	malformed int // families of nodes left out in whole or in part for their form
}

// column is where the families of the plan's form stand in a node's schema.
type column struct {
	fixed *fixed  // nil for a node without snapshot
	at    []int32 // by family of the form: index in fixed.families, or -1
}

// source is a family in one shape.
type source struct {
	shape, family int
}

// merger makes a plan out of shapes.
type merger struct {
	format    Format
	shapes    []*shape
	nodes     []int     // by shape: how many have it
	at        [][]int32 // by shape: column.at
	conflicts int
}

// cache keeps what one format needs from one rendering to the next.
type cache struct {
	workshop
	plan *plan // of the whole View
}

// planFor returns the plan for key. all says that key is the whole View: only
// then is the plan kept, and the schemas that nobody has any more forgotten.
func (c *cache) planFor(key []*health.Schema, all bool) *plan {
	if all && c.plan != nil && slices.Equal(c.plan.key, key) {
		return c.plan
	}
	p := &plan{key: slices.Clone(key), nodes: make([]column, len(key))}
	m := merger{format: c.format}
	index := map[*shape]int{}
	inUse := map[*health.Schema]bool{}
	for i, schema := range key {
		if schema == nil {
			continue
		}
		x := c.fix(schema)
		p.nodes[i].fixed = x
		p.malformed += x.malformed
		inUse[schema] = true
		at, ok := index[x.shape]
		if !ok {
			at = len(m.shapes)
			index[x.shape] = at
			m.shapes = append(m.shapes, x.shape)
			m.nodes = append(m.nodes, 0)
		}
		m.nodes[at]++
	}
	families := m.merge()
	p.conflicts = m.conflicts
	for i := range p.nodes {
		if x := p.nodes[i].fixed; x != nil {
			p.nodes[i].at = m.at[index[x.shape]]
		}
	}
	if all && c.plan != nil && c.plan.form.fits(families, len(key)) {
		p.form = c.plan.form
	} else {
		p.form = newForm(families, p.nodes)
	}
	if all {
		c.plan = p
		c.keep(inUse)
	}
	return p
}

// merge returns the families of all shapes and of the answering node, sorted
// by name, and fills in m.at and m.conflicts.
func (m *merger) merge() []family {
	sources := map[string][]source{}
	for i, s := range m.shapes {
		for j := range s.families {
			name := s.families[j].name
			sources[name] = append(sources[name], source{i, j})
		}
	}
	for i := range own {
		sources[own[i].Name] = nil
	}
	var families []family
	var from [][]source
	kinds := map[string]health.Type{}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if i := slices.IndexFunc(own, func(o ownFamily) bool { return o.Name == name }); i >= 0 {
			families = append(families, ownForm(&own[i], m.format))
			from = append(from, nil)
			continue
		}
		if sampleOf(kinds, name) { // the shorter name sorts first, so it is known
			m.drop(sources[name])
			continue
		}
		kind, help := m.agree(sources[name])
		kinds[name] = kind
		_, clash := sources[strings.TrimSuffix(name, "_total")]
		families = append(families, family{name: name, kind: kind, header: m.format.header(name, help, kind, clash)})
		from = append(from, sources[name])
	}
	m.at = make([][]int32, len(m.shapes))
	for i := range m.at {
		m.at[i] = slices.Repeat([]int32{-1}, len(families))
	}
	for i, f := range families {
		for _, s := range from[i] {
			if m.shapes[s.shape].families[s.family].kind == f.kind {
				m.at[s.shape][i] = int32(s.family)
			} else {
				m.conflicts += m.nodes[s.shape]
			}
		}
	}
	return families
}

// sampleOf reports whether name is that of a sample of a histogram or summary
// among kinds, which readers could not tell from a family of its own.
func sampleOf(kinds map[string]health.Type, name string) bool {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			kind := kinds[base]
			return kind == health.Histogram || kind == health.Summary && suffix != "_bucket"
		}
	}
	return false
}

func (m *merger) drop(from []source) {
	for _, s := range from {
		m.conflicts += m.nodes[s.shape]
	}
}

// agree picks the type that most nodes give a family, the newest version's
// when as many give another, and the help that the newest of these gives.
// Among equal versions the first node's word holds, so that every answering
// node says the same.
func (m *merger) agree(from []source) (health.Type, string) {
	var votes [health.Histogram + 1]int
	var newest [health.Histogram + 1]*heading
	var version [health.Histogram + 1]string
	for _, s := range from {
		shape := m.shapes[s.shape]
		family := &shape.families[s.family]
		k := family.kind
		votes[k] += m.nodes[s.shape]
		if newest[k] == nil || newer(shape.version, version[k]) {
			newest[k], version[k] = family, shape.version
		}
	}
	best := m.shapes[from[0].shape].families[from[0].family].kind
	for k := range votes {
		if newest[k] != nil && (votes[k] > votes[best] || votes[k] == votes[best] && newer(version[k], version[best])) {
			best = health.Type(k)
		}
	}
	return best, newest[best].help
}

// newer compares versions with or without a leading v; what is not a semantic
// version is older than any that is.
func newer(a, b string) bool {
	return semver.Compare("v"+strings.TrimPrefix(a, "v"), "v"+strings.TrimPrefix(b, "v")) > 0
}
