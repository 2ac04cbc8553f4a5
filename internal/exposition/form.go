package exposition

import (
	"slices"

	"github.com/grapevine-mesh/grapevine/health"
)

// form is what an answer about a list of nodes consists of, whatever they say:
// its families, and the sections that are rendered as one.
type form struct {
	families []family
	sections []section
	nodes    int
}

// family is one block of the answer.
type family struct {
	name   string
	kind   health.Type
	header string       // see Format.header
	own    *ownTemplate // of the answering node itself, or nil
}

// groupSize is how many nodes, next to each other in the View, are found
// changed together.
const groupSize = 16

// section is what is rendered, compressed and kept in one piece: some whole
// families, or a part of one.
type section struct {
	families [2]int // from and up to, of form.families
	groups   [2]int // from and up to, of the nodes' groups
	part     bool   // of a family: its header stands before the first part
	own      bool   // one family of the answering node, never kept
}

// sectionBytes is about how large a section is before it is compressed. It
// makes deflate find most of what repeats, and is all that an answer needs of
// memory beyond what is shared.
const sectionBytes = 64 << 10

func newForm(families []family, nodes []column) *form {
	f := &form{families: families, nodes: len(nodes)}
	groups := (len(nodes) + groupSize - 1) / groupSize
	whole := func(i int) section { return section{families: [2]int{i, i + 1}, groups: [2]int{0, groups}} }
	var run section // of families to which more may be added
	size := 0
	end := func() {
		if size > 0 {
			f.sections = append(f.sections, run)
		}
		size = 0
	}
	for i := range families {
		if families[i].own != nil {
			end()
			one := whole(i)
			one.own = true
			f.sections = append(f.sections, one)
			continue
		}
		bytes := len(families[i].header) + typical(nodes, i)
		if bytes > sectionBytes && groups > 1 {
			end()
			f.split(i, groups, max(1, groups*sectionBytes/bytes))
			continue
		}
		if size+bytes > sectionBytes {
			end()
		}
		if size == 0 {
			run = whole(i)
		}
		run.families[1] = i + 1
		size += bytes
	}
	end()
	return f
}

// split adds a family in parts of so many groups each.
func (f *form) split(family, groups, each int) {
	for from := 0; from < groups; from += each {
		f.sections = append(f.sections, section{
			families: [2]int{family, family + 1}, groups: [2]int{from, min(from+each, groups)}, part: true,
		})
	}
}

// typical is about how many bytes a family takes over all nodes.
func typical(nodes []column, family int) int {
	bytes := 0
	for _, n := range nodes {
		if n.fixed != nil && n.at[family] >= 0 {
			bytes += n.fixed.families[n.at[family]].body.typical()
		}
	}
	return bytes
}

// fits reports whether the form is that of these families and so many nodes:
// then what was rendered in it still stands where it did.
func (f *form) fits(families []family, nodes int) bool {
	return f.nodes == nodes && slices.EqualFunc(f.families, families, func(a, b family) bool {
		return a.name == b.name && a.kind == b.kind && a.header == b.header
	})
}
