package exposition

import (
	"maps"
	"strconv"

	"github.com/grapevine-mesh/grapevine/health"
)

// fixed is a schema laid out in one format.
type fixed struct {
	families  []placed // those that can be shown, sorted by name
	shape     *shape
	width     int // of the values that go with the schema
	malformed int // families that were left out in whole or in part
}

// placed is a family's template where it stands in a schema.
type placed struct {
	*template
	first int // index of its first value in the snapshot's values
}

// shape is what decides how the families of schemas merge. Most nodes of a
// cluster have one of a few, though hardly two have the same series.
type shape struct {
	version  string
	families []heading
}

// heading is a family without its series.
type heading struct {
	name, help string
	kind       health.Type
}

// workshop lays out schemas in one format, and keeps what it has laid out.
type workshop struct {
	format    Format
	fixed     map[*health.Schema]*fixed
	templates map[templateKey]*template // nil for a family of which nothing can be shown
	shapes    map[string]*shape
	gone      int    // schemas forgotten since templates and shapes were swept
	key       []byte // of a shape; used again and again
}

// templateKey tells families apart. Schemas from the mesh share the series of
// those that are alike.
type templateKey struct {
	name, help string
	kind       health.Type
	series     *health.Series
	length     int
}

func newWorkshop(f Format) workshop {
	return workshop{
		format: f, fixed: map[*health.Schema]*fixed{}, templates: map[templateKey]*template{}, shapes: map[string]*shape{},
	}
}

// fix lays out a schema.
func (w *workshop) fix(schema *health.Schema) *fixed {
	if x, ok := w.fixed[schema]; ok {
		return x
	}
	x := &fixed{}
	names := make(map[string]bool, len(schema.Families))
	for i := range schema.Families {
		family := &schema.Families[i]
		first := x.width
		x.width += family.Width()
		t := w.template(family)
		if t == nil || names[family.Name] {
			x.malformed++
			continue
		}
		names[family.Name] = true
		if !t.complete {
			x.malformed++
		}
		x.families = append(x.families, placed{t, first})
	}
	x.shape = w.shapeOf(schema.Version, x.families)
	w.fixed[schema] = x
	return x
}

func (w *workshop) template(family *health.Family) *template {
	if len(family.Series) == 0 {
		return newTemplate(family, w.format)
	}
	key := templateKey{family.Name, family.Help, family.Type, &family.Series[0], len(family.Series)}
	t, ok := w.templates[key]
	if !ok {
		t = newTemplate(family, w.format)
		w.templates[key] = t
	}
	return t
}

func (w *workshop) shapeOf(version string, families []placed) *shape {
	key := strconv.AppendQuote(w.key[:0], version)
	for _, f := range families {
		key = append(key, f.Name...)
		key = append(key, byte(f.kind))
		key = strconv.AppendQuote(key, f.Help)
	}
	w.key = key
	s, ok := w.shapes[string(key)]
	if !ok {
		s = &shape{version: version}
		for _, f := range families {
			s.families = append(s.families, heading{f.Name, f.Help, f.kind})
		}
		w.shapes[string(key)] = s
	}
	return s
}

// keep forgets the schemas that are not in use. What they shared with others
// is swept less often, as that means to look at everything.
func (w *workshop) keep(inUse map[*health.Schema]bool) {
	before := len(w.fixed)
	maps.DeleteFunc(w.fixed, func(s *health.Schema, _ *fixed) bool { return !inUse[s] })
	if w.gone += before - len(w.fixed); w.gone <= len(w.fixed) {
		return
	}
	w.gone = 0
	templates, shapes := map[*template]bool{}, map[*shape]bool{}
	for _, x := range w.fixed {
		shapes[x.shape] = true
		for _, f := range x.families {
			templates[f.template] = true
		}
	}
	maps.DeleteFunc(w.templates, func(_ templateKey, t *template) bool { return !templates[t] })
	maps.DeleteFunc(w.shapes, func(_ string, s *shape) bool { return !shapes[s] })
}
