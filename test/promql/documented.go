package promql

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// Documented are the labels of each series that is known, by its name: those of
// docs/metrics.md, with node. A histogram has its name, and those of its
// classic series.
type Documented map[string][]string

var (
	metricRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| (gauge|counter|histogram) \\| (.*?) \\| ")
	labelName = regexp.MustCompile("`([a-z0-9_]+)`")
)

// Metrics reads docs/metrics.md. The families of the client library that stand
// in no row of it are added by the names that dashboards and alerts use.
func Metrics(tb testing.TB) Documented {
	tb.Helper()
	root, err := real.Root()
	if err != nil {
		tb.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "metrics.md"))
	if err != nil {
		tb.Fatal(err)
	}
	d := Documented{
		"grapevine_build_info":          {"node", "version", "revision", "branch", "goversion", "goos", "goarch", "tags"},
		"process_cpu_seconds_total":     {"node"},
		"process_resident_memory_bytes": {"node"},
		"process_start_time_seconds":    {"node"},
		"process_open_fds":              {"node"},
		"process_max_fds":               {"node"},
		"go_goroutines":                 {"node"},
	}
	for _, row := range metricRow.FindAllStringSubmatch(string(text), -1) {
		labels := []string{"node"}
		for _, l := range labelName.FindAllStringSubmatch(row[3], -1) {
			labels = append(labels, l[1])
		}
		d[row[1]] = labels
		if row[2] == "histogram" {
			d[row[1]+"_bucket"], d[row[1]+"_sum"], d[row[1]+"_count"] = append(slices.Clone(labels), "le"), labels, labels
		}
	}
	return d
}

// With returns d and what else is known: recording rules, for one.
func (d Documented) With(more Documented) Documented {
	all := maps.Clone(d)
	maps.Copy(all, more)
	return all
}

// Faults tells what e names that is not known. Besides a series' own labels an
// expression may name those in target, which Prometheus adds.
func (d Documented) Faults(e Expression, target ...string) []string {
	if e.Error != "" {
		return []string{e.Error}
	}
	var faults []string
	for _, s := range e.Selectors {
		faults = append(faults, d.faults(s.Labels, []string{s.Metric}, target)...)
		if _, ok := d[s.Metric]; !ok {
			faults = append(faults, fmt.Sprintf("there is no metric %q", s.Metric))
		}
	}
	for _, g := range e.Groupings {
		faults = append(faults, d.faults(g.Labels, g.Metrics, append(slices.Clone(target), e.Made...))...)
	}
	return faults
}

// faults tells which labels none of the metrics has.
func (d Documented) faults(labels, metrics, also []string) []string {
	known := slices.Clone(also)
	for _, m := range metrics {
		known = append(known, d[m]...)
	}
	var faults []string
	for _, l := range labels {
		if !slices.Contains(known, l) {
			faults = append(faults, fmt.Sprintf("%s has no label %q", strings.Join(metrics, ", "), l))
		}
	}
	return faults
}
