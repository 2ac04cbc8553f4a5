package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder walks the nodes of a document itself: the YAML library is strict
// only about whole documents of one type, and stops at the first error.
type decoder struct {
	file   string
	errors Errors
}

// lineError is an error with the line it is about.
type lineError struct {
	file   string
	line   int
	reason string
}

func (e *lineError) Error() string { return fmt.Sprintf("%s:%d: %s", e.file, e.line, e.reason) }

func errorLine(err error) int {
	var e *lineError
	if errors.As(err, &e) {
		return e.line
	}
	return 0
}

func (d *decoder) fail(line int, format string, args ...any) {
	d.errors = append(d.errors, &lineError{d.file, line, fmt.Sprintf(format, args...)})
}

// entry is a key of a mapping with its value.
type entry struct{ key, value *yaml.Node }

// entries returns the entries of a mapping whose keys are known, and reports
// all that is wrong with the others. Nothing at all is an empty mapping.
func (d *decoder) entries(n *yaml.Node, name string, known []string) []entry {
	n = resolve(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n.Line, "%s: %s, where keys are wanted: %s", name, kindOf(n), strings.Join(known, ", "))
		return nil
	}
	var entries []entry
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		e := entry{n.Content[i], resolve(n.Content[i+1])}
		key := e.key.Value
		if e.key.Kind != yaml.ScalarNode || !slices.Contains(known, key) {
			d.fail(e.key.Line, "unknown key %q; known here: %s", key, strings.Join(known, ", "))
			continue
		}
		if before, ok := lines[key]; ok {
			d.fail(e.key.Line, "key %q again; line %d has it already", key, before)
			continue
		}
		lines[key] = e.key.Line
		entries = append(entries, e)
	}
	return entries
}

// find looks up a key of a mapping.
func find(n *yaml.Node, name string) (entry, bool) {
	if n == nil || n.Kind != yaml.MappingNode {
		return entry{}, false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return entry{n.Content[i], resolve(n.Content[i+1])}, true
		}
	}
	return entry{}, false
}

// item looks up an item of a list by its number, counted from 1. It stands
// for its own key.
func item(n *yaml.Node, number string) (entry, bool) {
	i, err := strconv.Atoi(number)
	if n == nil || n.Kind != yaml.SequenceNode || err != nil || i < 1 || i > len(n.Content) {
		return entry{}, false
	}
	return entry{n.Content[i-1], resolve(n.Content[i-1])}, true
}

// settings fills the struct that target points to with the block named name.
func (d *decoder) settings(n *yaml.Node, name string, target any) {
	d.structure(n, name, reflect.ValueOf(target).Elem())
}

func (d *decoder) structure(n *yaml.Node, name string, v reflect.Value) {
	var keys []string
	fields := make(map[string]reflect.Value)
	for _, f := range Fields(v) {
		keys = append(keys, f.Key)
		fields[f.Key] = f.Value
	}
	for _, e := range d.entries(n, name, keys) {
		d.value(e.value, e.key.Value, fields[e.key.Value])
	}
}

// Field is a key of a settings block and the value it fills.
type Field struct {
	Key   string
	Value reflect.Value
}

// Fields lists the keys of a settings struct in the order they are declared.
// Embedded structs count as if their fields stood in their place.
func Fields(v reflect.Value) []Field {
	var fields []Field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct && key == "" || options == "inline":
			fields = append(fields, Fields(v.Field(i))...)
		case !f.IsExported() || key == "-":
		case key == "":
			fields = append(fields, Field{strings.ToLower(f.Name), v.Field(i)})
		default:
			fields = append(fields, Field{key, v.Field(i)})
		}
	}
	return fields
}

var durationType = reflect.TypeFor[time.Duration]()

// value fills v with n, or reports why it cannot.
func (d *decoder) value(n *yaml.Node, name string, v reflect.Value) {
	_, isYAML := v.Addr().Interface().(yaml.Unmarshaler)
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case isYAML || isText:
		if err := n.Decode(v.Addr().Interface()); err != nil {
			d.fail(n.Line, "%s: %s", name, strings.Join(strings.Fields(err.Error()), " "))
		}
	case v.Kind() == reflect.Struct:
		d.structure(n, name, v)
	case v.Kind() == reflect.Pointer:
		to := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			to.Elem().Set(v.Elem())
		}
		d.value(n, name, to.Elem())
		v.Set(to)
	case v.Kind() == reflect.Slice:
		d.slice(n, name, v)
	case v.Kind() == reflect.Map:
		d.mapping(n, name, v)
	default:
		d.scalar(n, name, v)
	}
}

// slice replaces the default list by the one in the file.
func (d *decoder) slice(n *yaml.Node, name string, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n.Line, "%s: %s, where a list is wanted", name, kindOf(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(resolve(item), name, list.Index(i))
	}
	v.Set(list)
}

// mapping replaces the default mapping by the one in the file.
func (d *decoder) mapping(n *yaml.Node, name string, v reflect.Value) {
	var known []string // whatever is there
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			known = append(known, n.Content[i].Value)
		}
	}
	filled := reflect.MakeMap(v.Type())
	for _, e := range d.entries(n, name, known) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(e.value, name+": "+e.key.Value, item)
		filled.SetMapIndex(reflect.ValueOf(e.key.Value).Convert(v.Type().Key()), item)
	}
	v.Set(filled)
}

// scalar fills a number, a string, a bool or a duration.
func (d *decoder) scalar(n *yaml.Node, name string, v reflect.Value) {
	wanted := wantedOf(v.Type())
	switch {
	case isNull(n):
		d.fail(n.Line, "%s: no value, where %s is wanted", name, wanted)
		return
	case n.Kind != yaml.ScalarNode:
		d.fail(n.Line, "%s: %s, where %s is wanted", name, kindOf(n), wanted)
		return
	}
	var ok bool
	if v.Type() == durationType {
		duration, err := time.ParseDuration(n.Value)
		ok = err == nil
		v.SetInt(int64(duration))
	} else {
		ok = n.Decode(v.Addr().Interface()) == nil && !bent(n.ShortTag(), v)
	}
	if v.CanFloat() && (math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)) {
		ok = false
	}
	if !ok {
		d.fail(n.Line, "%s: %q is not %s", name, clip(n.Value), wanted)
	}
}

// bent reports whether the YAML library would bend a value of that tag to fit:
// it takes true for the text "true" and cuts 1.5 to 1.
func bent(tag string, v reflect.Value) bool {
	return v.Kind() == reflect.String && tag == "!!bool" || (v.CanInt() || v.CanUint()) && tag == "!!float"
}

func wantedOf(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 15s or 2m30s"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32:
		return "a number"
	default:
		return "a whole number that fits"
	}
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys"
	case yaml.SequenceNode:
		return "a list"
	default:
		return fmt.Sprintf("%q", clip(n.Value))
	}
}

// clip keeps the error a line that can be read.
func clip(s string) string {
	if len(s) > 60 {
		return s[:57] + "..."
	}
	return s
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
