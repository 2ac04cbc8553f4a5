package alerts

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

func TestPromtoolFindsNoFault(t *testing.T) {
	t.Parallel()
	args := append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, ruleFiles(t)...)
	if out, err := exec.CommandContext(t.Context(), real.Binary(t, "promtool"), args...).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
}

func testFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("tests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	return files
}

func TestRulesDoWhatTheirTestsSay(t *testing.T) {
	t.Parallel()
	promtool := real.Binary(t, "promtool")
	for _, file := range testFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", "--diff", file).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// alertCases is a file for promtool, but for what is of no interest here.
type alertCases struct {
	Order []string `yaml:"group_eval_order"`
	Tests []struct {
		Name  string `yaml:"name"`
		Asked []struct {
			At     string `yaml:"eval_time"`
			Alert  string `yaml:"alertname"`
			Firing []struct {
				Labels map[string]string `yaml:"exp_labels"`
			} `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	} `yaml:"tests"`
}

// Each alert, by severity, is seen to fire, to be quiet before and after, and
// to be quiet at the first and the last moment, when there is no data.
func TestEachAlertHasItsTest(t *testing.T) {
	t.Parallel()
	type seen struct{ fires, quiet int }
	tested := map[string]*seen{}
	for _, file := range testFiles(t) {
		var cases alertCases
		decodeSome(t, file, &cases)
		for _, c := range cases.Tests {
			fired := map[string]bool{}
			quiet := map[string]int{}
			for _, a := range c.Asked {
				for _, f := range a.Firing {
					fired[a.Alert+", "+f.Labels["severity"]] = true
				}
				if len(a.Firing) == 0 {
					quiet[a.Alert]++
				}
			}
			for key := range fired {
				if tested[key] == nil {
					tested[key] = &seen{}
				}
				name, _, _ := strings.Cut(key, ",")
				tested[key].fires++
				tested[key].quiet = max(tested[key].quiet, quiet[name])
			}
		}
	}
	for _, r := range alerts(t) {
		key := fmt.Sprintf("%s, %s", r.Alert, r.Labels["severity"])
		got := tested[key]
		switch least := 3; {
		case got == nil:
			t.Errorf("%s is never seen to fire", key)
		case r.Alert == "GrapevineWatchdog" && got.quiet >= 2: // it is never quiet with data
		case got.quiet < least:
			t.Errorf("%s is asked %d times while it is quiet, want %d: well, without data before and after", key, got.quiet, least)
		}
	}
	for key := range maps.Keys(tested) {
		if !slices.ContainsFunc(alerts(t), func(r rule) bool { return r.Alert+", "+r.Labels["severity"] == key }) {
			t.Errorf("a test is of %s, which is not there", key)
		}
	}
}

// promtool says nothing of a group in the order that is not there, and runs it
// in any.
func TestScenariosLoadAllGroups(t *testing.T) {
	t.Parallel()
	var cases alertCases
	decodeSome(t, "tests/scenarios.yaml", &cases)
	var want []string
	for _, g := range allGroups(t) {
		want = append(want, g.Name)
	}
	if got := slices.Sorted(slices.Values(cases.Order)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("group_eval_order of tests/scenarios.yaml is %v, the groups are %v", got, want)
	}
}
