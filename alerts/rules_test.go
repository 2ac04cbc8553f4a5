// Package alerts holds the Prometheus rules against the program that exports
// what they look at, and against their tests.
package alerts

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// ruleFile is a file of rules as Prometheus reads it.
type ruleFile struct {
	Groups []group `yaml:"groups"`
}

type group struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type rule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	KeepFiring  string            `yaml:"keep_firing_for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// decode refuses keys that it does not know.
func decode(t *testing.T, path string, into any) { decodeFile(t, path, into, true) }

// decodeSome leaves out keys that it does not know.
func decodeSome(t *testing.T, path string, into any) { decodeFile(t, path, into, false) }

func decodeFile(t *testing.T, path string, into any, all bool) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(all)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func ruleFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("rules/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rule files: %v", err)
	}
	return files
}

func allGroups(t *testing.T) []group {
	t.Helper()
	var all []group
	for _, path := range ruleFiles(t) {
		var f ruleFile
		decode(t, path, &f)
		all = append(all, f.Groups...)
	}
	return all
}

func allRules(t *testing.T) []rule {
	t.Helper()
	var all []rule
	for _, g := range allGroups(t) {
		all = append(all, g.Rules...)
	}
	return all
}

func alerts(t *testing.T) []rule {
	t.Helper()
	return slices.DeleteFunc(allRules(t), func(r rule) bool { return r.Alert == "" })
}

const runbookURL = "https://github.com/grapevine-mesh/grapevine/blob/main/alerts/runbooks/"

var (
	alertName  = regexp.MustCompile(`^Grapevine[A-Z][A-Za-z]+$`)
	recordName = regexp.MustCompile(`^[a-z_]+:grapevine_[a-z_]+:[a-z_]+$`)
)

// What people read of an alert, and route it by.
func TestForm(t *testing.T) {
	t.Parallel()
	summaries := map[string]string{}
	for _, r := range allRules(t) {
		if r.Record != "" {
			if !recordName.MatchString(r.Record) {
				t.Errorf("%s: a recorded series is named level:metric:operations", r.Record)
			}
			continue
		}
		if !alertName.MatchString(r.Alert) {
			t.Errorf("%q is no name for an alert", r.Alert)
		}
		if s := r.Labels["severity"]; !slices.Contains([]string{"critical", "warning", "info"}, s) {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if got := slices.Sorted(maps.Keys(r.Annotations)); !slices.Equal(got, []string{"description", "runbook_url", "summary"}) {
			t.Errorf("%s has the annotations %v", r.Alert, got)
		}
		if want := runbookURL + r.Alert + ".md"; r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		summary := r.Annotations["summary"]
		if strings.Contains(summary, "{{") || !strings.HasSuffix(summary, ".") {
			t.Errorf("%s: the summary %q is no static sentence", r.Alert, summary)
		}
		if other := summaries[summary]; other != "" && other != r.Alert {
			t.Errorf("%s and %s have the same summary", r.Alert, other)
		}
		summaries[summary] = r.Alert
	}
}

var checkMatcher = regexp.MustCompile(`\{check(=~?)"([^"]+)"`)

// Every check there is pages or warns when it finds fault.
func TestEveryCheckHasAnAlert(t *testing.T) {
	t.Parallel()
	checks := map[string]bool{}
	for _, spec := range collectors.All() {
		checks[spec.Name] = true
	}
	checks["smoke"] = true                // in no list of collectors: it stands above them
	found := map[string]map[string]bool{} // severities by check
	for _, r := range alerts(t) {
		for _, m := range checkMatcher.FindAllStringSubmatch(r.Expr, -1) {
			for name := range strings.SplitSeq(m[2], "|") {
				if found[name] == nil {
					found[name] = map[string]bool{}
				}
				found[name][r.Labels["severity"]] = true
			}
		}
	}
	for name := range checks {
		if !found[name]["critical"] || !found[name]["warning"] {
			t.Errorf("the check %s has alerts of the severities %v, want critical and warning", name, slices.Sorted(maps.Keys(found[name])))
		}
	}
	for name := range found {
		if !checks[name] {
			t.Errorf("an alert is on the check %s, which is not there", name)
		}
	}
}

func TestPrometheusRule(t *testing.T) {
	t.Parallel()
	var generated struct {
		APIVersion string         `yaml:"apiVersion"`
		Kind       string         `yaml:"kind"`
		Metadata   map[string]any `yaml:"metadata"`
		Spec       ruleFile       `yaml:"spec"`
	}
	decode(t, "prometheusrule.yaml", &generated)
	got, err := yaml.Marshal(generated.Spec.Groups)
	if err != nil {
		t.Fatal(err)
	}
	want, err := yaml.Marshal(allGroups(t))
	if err != nil {
		t.Fatal(err)
	}
	if generated.APIVersion != "monitoring.coreos.com/v1" || generated.Kind != "PrometheusRule" || !bytes.Equal(got, want) {
		t.Error("prometheusrule.yaml is not up to date: make docs")
	}
}
