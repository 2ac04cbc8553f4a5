package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// pathFlags says where the node's own trees are mounted.
func pathFlags(cmd *kingpin.CmdClause, to *collectors.Paths) {
	byDefault := collectors.DefaultPaths()
	cmd.Flag("path.procfs", "Where the node's procfs is mounted.").Default(byDefault.Proc).StringVar(&to.Proc)
	cmd.Flag("path.sysfs", "Where the node's sysfs is mounted.").Default(byDefault.Sys).StringVar(&to.Sys)
	cmd.Flag("path.rootfs", "Where the node's root file system is mounted.").Default(byDefault.Root).StringVar(&to.Root)
}

// Kingpin's own values do not say which flag they refuse.

// word is a flag or an argument that takes one of a few words, or several of
// them when many is set.
type word struct {
	name  string
	words []string
	to    *string
	many  *[]string
}

// oneOf makes a flag take one of words, the first by default.
func oneOf(f *kingpin.FlagClause, words []string, to *string) {
	f.Default(words[0]).SetValue(&word{"--" + f.Model().Name, words, to, nil})
}

// Set implements kingpin.Value.
func (w *word) Set(s string) error {
	switch {
	case !slices.Contains(w.words, s):
		return fmt.Errorf("%s: %q is none of %s", w.name, s, strings.Join(w.words, ", "))
	case w.many != nil:
		*w.many = append(*w.many, s)
	default:
		*w.to = s
	}
	return nil
}

// String implements kingpin.Value.
func (w *word) String() string {
	if w.many != nil {
		return strings.Join(*w.many, ",")
	}
	return *w.to
}

// IsCumulative tells kingpin that the argument may be repeated.
func (w *word) IsCumulative() bool { return w.many != nil }

// span is a flag that takes a duration above zero.
type span struct {
	name string
	to   *time.Duration
}

// spanOf makes a flag take a duration.
func spanOf(f *kingpin.FlagClause, byDefault string, to *time.Duration) {
	f.Default(byDefault).SetValue(&span{"--" + f.Model().Name, to})
}

// Set implements kingpin.Value.
func (d *span) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return fmt.Errorf("%s: %q is not a duration such as 2m or 24h", d.name, s)
	}
	*d.to = v
	return nil
}

// String implements kingpin.Value.
func (d *span) String() string { return d.to.String() }
