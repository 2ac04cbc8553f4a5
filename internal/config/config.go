// Package config reads the configuration file: one strict YAML document with
// a block for each check. It fills the collectors' settings, says by file and
// line what is wrong, and starts nothing.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// maxBytes bounds the file: what is longer is some other file.
const maxBytes = 1 << 20

// Config is what the file says, with defaults for all it does not say.
type Config struct {
	Checks map[string]collectors.Settings // by name; every check there is
}

// Errors is everything that is wrong with a file, in the order of its lines.
type Errors []error

// Error gives each error a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes Errors work with errors.Is and errors.As.
func (e Errors) Unwrap() []error { return e }

// Load reads file for the checks that specs declare. An empty name means
// defaults, as does an empty file. The error is of type Errors; each reads
// "FILE:LINE: reason", or "FILE: reason" when it concerns the whole file.
func Load(file string, specs []collectors.Spec) (*Config, error) {
	cfg := &Config{Checks: make(map[string]collectors.Settings, len(specs))}
	for _, spec := range specs {
		cfg.Checks[spec.Name] = spec.Settings()
	}
	if file == "" {
		return cfg, nil
	}
	d := decoder{file: file}
	if text, err := read(file); err != nil {
		d.errors = Errors{fmt.Errorf("%s: %w", file, err)}
	} else if root := d.parse(text); root != nil {
		d.top(root, cfg)
	}
	if len(d.errors) > 0 {
		return nil, d.errors
	}
	return cfg, nil
}

// read returns the file's text. Errors do not name the file.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return nil, bare(err)
	case len(text) > maxBytes:
		return nil, fmt.Errorf("is longer than %d bytes", maxBytes)
	}
	return text, nil
}

// bare takes the file's name out of err: the line names it already.
func bare(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// parse returns the content of the only document, or nil when there is none
// or it is not YAML.
func (d *decoder) parse(text []byte) *yaml.Node {
	for i, line := range bytes.Split(text, []byte("\n")) {
		if !utf8.Valid(line) {
			d.fail(i+1, "not UTF-8")
			return nil
		}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.syntax(text, err)
		return nil
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(text, err)
		return nil
	default:
		d.fail(second.Line, "a second document; only one is read")
		return nil
	}
	return doc.Content[0]
}

// syntax reports what the parser says, "yaml: line 3: what", in our form.
func (d *decoder) syntax(text []byte, err error) {
	for i, line := range strings.Split(string(text), "\n") {
		if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") {
			d.fail(i+1, "a tab; YAML is indented with spaces")
			return
		}
	}
	line, what := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if n, scanErr := fmt.Sscanf(what, "line %d:", &line); n == 1 && scanErr == nil {
		_, what, _ = strings.Cut(what, ": ")
	}
	d.fail(line, "not YAML: %s", what)
}

// top takes in the document: the key "checks", and below it a block a check.
func (d *decoder) top(root *yaml.Node, cfg *Config) {
	for _, section := range d.entries(root, "the document", []string{"checks"}) {
		names := make([]string, 0, len(cfg.Checks))
		for name := range cfg.Checks {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, block := range d.entries(section.value, "checks", names) {
			settings := cfg.Checks[block.key.Value]
			before := len(d.errors)
			d.settings(block.value, block.key.Value, settings)
			if len(d.errors) > before {
				continue
			}
			if err := settings.Validate(); err != nil {
				d.fail(lineOf(block, err.Error()), "%s: %s", block.key.Value, err)
			}
		}
	}
	slices.SortStableFunc(d.errors, func(a, b error) int { return errorLine(a) - errorLine(b) })
}

// lineOf finds the line that an error which starts with "key: " or
// "key: key: " speaks of; of a list the key is the number of the item, from 1
// on. A key that is left to its default has none: then it is the line of the
// innermost block.
func lineOf(block entry, message string) int {
	key, value := block.key, block.value
	for {
		name, rest, found := strings.Cut(message, ": ")
		if !found {
			return key.Line
		}
		next, ok := find(value, name)
		if !ok {
			next, ok = item(value, name)
		}
		if !ok {
			return key.Line
		}
		key, value, message = next.key, next.value, rest
	}
}
