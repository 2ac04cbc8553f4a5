package main

import (
	"fmt"
	"slices"
	"strconv"
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

// count is a flag that takes a number of things.
type count struct {
	name string
	to   *int
}

// countOf makes a flag take a number from 0 on.
func countOf(f *kingpin.FlagClause, byDefault int, to *int) {
	f.Default(strconv.Itoa(byDefault)).SetValue(&count{"--" + f.Model().Name, to})
}

// maxCount is far more than anybody means.
const maxCount = 1e6

// Set implements kingpin.Value.
func (c *count) Set(s string) error {
	v, err := strconv.Atoi(s)
	if err != nil || v < 0 || v > maxCount {
		return fmt.Errorf("%s: %q is not a number such as 40, or 0", c.name, s)
	}
	*c.to = v
	return nil
}

// String implements kingpin.Value.
func (c *count) String() string { return strconv.Itoa(*c.to) }

// rate is a flag that takes a number of bytes a second.
type rate struct {
	name string
	to   *int
}

// rateOf makes a flag take a number of bytes a second.
func rateOf(f *kingpin.FlagClause, byDefault string, to *int) {
	f.Default(byDefault).SetValue(&rate{"--" + f.Model().Name, to})
}

// byteUnits are the units that a rate may have, the longest first.
var byteUnits = []struct {
	name  string
	bytes float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// maxRate is far more than any network carries.
const maxRate = 1e12

// Set implements kingpin.Value.
func (r *rate) Set(s string) error {
	number, unit := strings.TrimSpace(strings.TrimSuffix(s, "/s")), 0
	for !strings.HasSuffix(number, byteUnits[unit].name) {
		unit++
	}
	number = strings.TrimSpace(strings.TrimSuffix(number, byteUnits[unit].name))
	v, err := strconv.ParseFloat(number, 64)
	if v *= byteUnits[unit].bytes; err != nil || !(v >= 0 && v <= maxRate) {
		return fmt.Errorf("%s: %q is not a number of bytes such as 128kB or 1MiB", r.name, s)
	}
	*r.to = int(v)
	return nil
}

// String implements kingpin.Value.
func (r *rate) String() string { return strconv.Itoa(*r.to) }
