package alerts

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

const alertmanagerExample = "alertmanager.yaml"

// amtool runs Debian's amtool, which comes with Alertmanager.
func amtool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), real.Amtool(t), args...)
	var problems strings.Builder // Debian's set-up has it warn there
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("amtool %s: %v\n%s%s", strings.Join(args, " "), err, out, &problems)
	}
	return strings.TrimSpace(string(out))
}

func TestAlertmanagerTakesTheExample(t *testing.T) {
	t.Parallel()
	amtool(t, "check-config", alertmanagerExample)
}

// Each severity goes its way, the dead-man's switch has its own, and what is of
// others is not lost.
func TestRoutes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ alertname, severity, receiver string }{
		{"GrapevineDiskUnhealthy", "critical", "pager"},
		{"GrapevineDiskUnhealthy", "warning", "tickets"},
		{"GrapevineFamiliesDropped", "info", "nobody"},
		{"GrapevineWatchdog", "info", "dead-mans-switch"},
		{"Other", "critical", "tickets"},
	} {
		got := amtool(t, "config", "routes", "test", "--config.file="+alertmanagerExample, "alertname="+c.alertname, "severity="+c.severity)
		if got != c.receiver {
			t.Errorf("%s (%s) goes to %s, want %s", c.alertname, c.severity, got, c.receiver)
		}
	}
}

// inhibition is what this test reads of Alertmanager's configuration.
type inhibition struct {
	Rules []struct {
		Source []string `yaml:"source_matchers"`
		Target []string `yaml:"target_matchers"`
		Equal  []string `yaml:"equal"`
	} `yaml:"inhibit_rules"`
}

var matcher = regexp.MustCompile(`^([a-z]+)(=~|=|!=)"([^"]*)"$`)

// matches tells whether an alert fits a list of matchers. Labels that an alert
// gets from its expression fit anything.
func matches(t *testing.T, matchers []string, r rule) bool {
	t.Helper()
	labels := map[string]string{"alertname": r.Alert, "severity": r.Labels["severity"], "runs": r.Labels["runs"]}
	for _, text := range matchers {
		m := matcher.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("%s is no matcher that this test knows", text)
		}
		value, known := labels[m[1]]
		if !known {
			continue
		}
		fits := value == m[3]
		if m[2] == "=~" {
			fits = regexp.MustCompile("^(?:" + m[3] + ")$").MatchString(value)
		}
		if fits == (m[2] == "!=") {
			return false
		}
	}
	return true
}

// A rule of inhibition with a name that no alert has would do nothing, and
// one whose source is no page would leave nobody woken.
func TestInhibition(t *testing.T) {
	t.Parallel()
	var config inhibition
	decodeSome(t, alertmanagerExample, &config)
	all := alerts(t)
	name := regexp.MustCompile(`^alertname=~?"([^"]+)"$`)
	for _, inhibit := range config.Rules {
		sources, targets := 0, 0
		for _, a := range all {
			if matches(t, inhibit.Source, a) {
				sources++
				if a.Labels["severity"] != "critical" {
					t.Errorf("%v: %s is %s, and holds back %v", inhibit.Source, a.Alert, a.Labels["severity"], inhibit.Target)
				}
			}
			if matches(t, inhibit.Target, a) {
				targets++
			}
		}
		if sources == 0 || targets == 0 {
			t.Errorf("%v matches %d alerts, %v %d", inhibit.Source, sources, inhibit.Target, targets)
		}
		if !slices.Contains(inhibit.Equal, "cluster") {
			t.Errorf("%v holds back alerts of other clusters", inhibit.Source)
		}
		for _, m := range append(slices.Clone(inhibit.Source), inhibit.Target...) {
			alternatives := name.FindStringSubmatch(m)
			if alternatives == nil {
				continue
			}
			for _, single := range expand(alternatives[1]) {
				if !slices.ContainsFunc(all, func(r rule) bool { return regexp.MustCompile("^(?:" + single + ")$").MatchString(r.Alert) }) {
					t.Errorf("no alert is named %s", single)
				}
			}
		}
	}
}

// expand lists what a regular expression with alternatives in one group per
// alternative stands for: "A(B|C)D|E" is ABD, ACD, E.
func expand(expr string) []string {
	var all []string
	depth, begin := 0, 0
	var parts []string
	for i, c := range expr {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			parts = append(parts, expr[begin:i])
			begin = i + 1
		}
	}
	for _, part := range append(parts, expr[begin:]) {
		before, rest, grouped := strings.Cut(part, "(")
		if !grouped {
			all = append(all, part)
			continue
		}
		inner, after, _ := strings.Cut(rest, ")")
		for one := range strings.SplitSeq(inner, "|") {
			all = append(all, before+one+after)
		}
	}
	return all
}
