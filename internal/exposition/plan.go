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
	of        []int            // by node: index in schemas, or -1
	schemas   []*fixed         // each once, in the order of the first node that has it
	families  []family         // sorted by name
	conflicts int              // families of nodes left out for the type of another of that name
	malformed int              // families of nodes left out in whole or in part for their form
}

// family is one block of the answer.
type family struct {
	name   string
	header string     // HELP and TYPE
	own    *ownFamily // of the answering node itself, or nil
	in     []int32    // by schema: index in its families, or -1
}

// source is a family in one schema.
type source struct {
	schema, family int
}

// cache keeps what one format needs from one rendering to the next.
type cache struct {
	fixed map[*health.Schema]*fixed
	plan  *plan // of the whole View
}

// plan returns the plan for key. all says that key is the whole View: only
// then is the plan kept, and the schemas that nobody has any more forgotten.
func (c *cache) planFor(key []*health.Schema, all bool, f Format) *plan {
	if all && c.plan != nil && slices.Equal(c.plan.key, key) {
		return c.plan
	}
	if c.fixed == nil {
		c.fixed = map[*health.Schema]*fixed{}
	}
	p := &plan{key: slices.Clone(key), of: make([]int, len(key))}
	index := map[*health.Schema]int{}
	var nodes []int // by schema: how many have it
	for i, schema := range key {
		if schema == nil {
			p.of[i] = -1
			continue
		}
		at, ok := index[schema]
		if !ok {
			at = len(p.schemas)
			index[schema] = at
			p.schemas = append(p.schemas, c.fix(schema, f))
			nodes = append(nodes, 0)
		}
		p.of[i] = at
		nodes[at]++
	}
	p.merge(nodes, f)
	if all {
		c.plan = p
		maps.DeleteFunc(c.fixed, func(s *health.Schema, _ *fixed) bool { _, ok := index[s]; return !ok })
	}
	return p
}

func (c *cache) fix(schema *health.Schema, f Format) *fixed {
	x, ok := c.fixed[schema]
	if !ok {
		x = fix(schema, f)
		c.fixed[schema] = x
	}
	return x
}

func (p *plan) merge(nodes []int, f Format) {
	sources := map[string][]source{}
	for i, x := range p.schemas {
		p.malformed += x.malformed * nodes[i]
		for j := range x.families {
			name := x.families[j].Name
			sources[name] = append(sources[name], source{i, j})
		}
	}
	for i := range own {
		sources[own[i].Name] = nil
	}
	kinds := map[string]health.Type{}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		out := family{name: name}
		for i := range own {
			if own[i].Name == name {
				out.own = &own[i]
				out.header = f.header(name, own[i].Help, own[i].Type, false)
			}
		}
		if out.own == nil {
			from := sources[name]
			if sampleOf(kinds, name) { // the shorter name sorts first, so it is known
				p.drop(from, nodes)
				continue
			}
			kind, help := p.agree(from, nodes)
			kinds[name] = kind
			_, clash := sources[strings.TrimSuffix(name, "_total")]
			out.header = f.header(name, help, kind, clash)
			out.in = p.columns(from, kind, nodes)
		}
		p.families = append(p.families, out)
	}
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

func (p *plan) drop(from []source, nodes []int) {
	for _, s := range from {
		p.conflicts += nodes[s.schema]
	}
}

// agree picks the type that most nodes give a family, the newest version's
// when as many give another, and the help that the newest of these gives.
// Among equal versions the first node's word holds, so that every answering
// node says the same.
func (p *plan) agree(from []source, nodes []int) (health.Type, string) {
	var votes [health.Histogram + 1]int
	var newest [health.Histogram + 1]*fixedFamily
	var version [health.Histogram + 1]string
	for _, s := range from {
		x := p.schemas[s.schema]
		family := &x.families[s.family]
		k := family.kind
		votes[k] += nodes[s.schema]
		if newest[k] == nil || newer(x.schema.Version, version[k]) {
			newest[k], version[k] = family, x.schema.Version
		}
	}
	best := p.schemas[from[0].schema].families[from[0].family].kind
	for k := range votes {
		if newest[k] != nil && (votes[k] > votes[best] || votes[k] == votes[best] && newer(version[k], version[best])) {
			best = health.Type(k)
		}
	}
	return best, newest[best].Help
}

func (p *plan) columns(from []source, kind health.Type, nodes []int) []int32 {
	in := make([]int32, len(p.schemas))
	for i := range in {
		in[i] = -1
	}
	for _, s := range from {
		if p.schemas[s.schema].families[s.family].kind == kind {
			in[s.schema] = int32(s.family)
		} else {
			p.conflicts += nodes[s.schema]
		}
	}
	return in
}

// newer compares versions with or without a leading v; what is not a semantic
// version is older than any that is.
func newer(a, b string) bool {
	return semver.Compare("v"+strings.TrimPrefix(a, "v"), "v"+strings.TrimPrefix(b, "v")) > 0
}
