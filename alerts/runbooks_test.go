package alerts

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/promql"
)

// runbooks are their texts by the name of the alert.
func runbooks(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimSuffix(filepath.Base(path), ".md")] = string(text)
	}
	return texts
}

var (
	queries  = regexp.MustCompile("(?s)```promql\n(.*?)```")
	pageLink = regexp.MustCompile(`\]\(([^)]+)\)`)
	named    = regexp.MustCompile("`(grapevine_[a-z0-9_]+)")
)

// Every alert has one, and there is none for an alert that is gone.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	texts := runbooks(t)
	severities := map[string]map[string]bool{}
	for _, r := range alerts(t) {
		if severities[r.Alert] == nil {
			severities[r.Alert] = map[string]bool{}
		}
		severities[r.Alert][r.Labels["severity"]] = true
	}
	for name := range severities {
		if texts[name] == "" {
			t.Errorf("there is no runbooks/%s.md", name)
		}
	}
	for name, text := range texts {
		if severities[name] == nil {
			t.Errorf("runbooks/%s.md is about no alert", name)
			continue
		}
		says := "*" + strings.Join(slices.Sorted(maps.Keys(severities[name])), " or ") + ".*"
		for _, want := range []string{"# " + name + "\n", "\n" + says, "\n## Confirm\n", "\n## Do\n", "\n## Usual causes\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("runbooks/%s.md lacks %q", name, want)
			}
		}
		if lines := strings.Count(text, "\n"); lines > 90 {
			t.Errorf("runbooks/%s.md has %d lines: too many for 3 am", name, lines)
		}
		for _, link := range pageLink.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("runbooks", link[1])); err != nil {
				t.Errorf("runbooks/%s.md: %v", name, err)
			}
		}
	}
}

// Each line of a block of PromQL is a query of its own, to be pasted.
func TestRunbooksQueryWhatIsExported(t *testing.T) {
	t.Parallel()
	texts := runbooks(t)
	known := promql.Metrics(t).With(prometheus).With(promql.Documented{
		"prometheus_notifications_dropped_total": {"alertmanager"},
	})
	var exprs, from []string
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		for _, block := range queries.FindAllStringSubmatch(texts[name], -1) {
			for line := range strings.Lines(block[1]) {
				exprs, from = append(exprs, strings.TrimSpace(line)), append(from, name)
			}
		}
		for _, m := range named.FindAllStringSubmatch(texts[name], -1) {
			if known[m[1]] == nil {
				t.Errorf("runbooks/%s.md: there is no metric %s", name, m[1])
			}
		}
	}
	if len(exprs) < len(texts) {
		t.Errorf("only %d queries in %d runbooks", len(exprs), len(texts))
	}
	for i, e := range promql.Parse(t, exprs...) {
		for _, fault := range known.Faults(e, "cluster", "job", "instance") {
			t.Errorf("runbooks/%s.md: %s: %s", from[i], exprs[i], fault)
		}
	}
}
