package smoke

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// The check keeps to what TestSpecs in collectors asks of those there.
func TestSpec(t *testing.T) {
	t.Parallel()
	spec := Spec()
	if spec.Name != "smoke" || spec.Summary == "" || spec.Why == "" || spec.Remedy == "" || spec.Subject == "" {
		t.Errorf("does not explain itself: %+v", spec)
	}
	must(t, spec.Settings().Validate())
	names := map[string]bool{}
	for _, m := range spec.Metrics {
		if !strings.HasPrefix(m.Name, "grapevine_smoke_") || m.Help == "" || names[m.Name] {
			t.Errorf("bad metric %q", m.Name)
		}
		names[m.Name] = true
		if (m.Type == health.Counter) != strings.HasSuffix(m.Name, "_total") {
			t.Errorf("%s: type %v does not go with the name", m.Name, m.Type)
		}
	}
}

func TestCheckSettings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		want string // the start of the error; empty: none
		edit func(*CheckSettings)
	}{
		{"", func(*CheckSettings) {}},
		{"", func(s *CheckSettings) {
			s.Interval, s.Deadline, s.Patience = time.Minute, 40*time.Second, 10*time.Second
		}},
		{"interval: ", func(s *CheckSettings) { s.Interval = time.Second }},
		{"deadline: ", func(s *CheckSettings) { s.Interval = time.Minute }}, // a run each minute that takes a minute
		{"max_latency: ", func(s *CheckSettings) { s.MaxLatency = 0 }},
		{"max_latency: ", func(s *CheckSettings) { s.MaxLatency = time.Minute }},
		{"failure_threshold: ", func(s *CheckSettings) { s.FailureThreshold = 0 }},
		{"success_threshold: ", func(s *CheckSettings) { s.SuccessThreshold = 11 }},
	} {
		s := DefaultCheck()
		tc.edit(s)
		err := s.Validate()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
			t.Errorf("%v, want %q", err, tc.want)
		}
		if timing := s.Schedule(); err == nil && timing.Validate() != nil {
			t.Errorf("the schedule cannot keep %+v: %v", timing, timing.Validate())
		}
	}
}

// A check that is not switched on, that nobody has given credentials, or that
// is no agent's, is off, and says why.
func TestCheckIsOff(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	agent := func() []collectors.NodeVerdicts { return nil }
	for _, tc := range []struct {
		name, want string
		enabled    bool
		verdicts   func() []collectors.NodeVerdicts
	}{
		{"not switched on", "set enabled to true", false, agent},
		{"no agent", "grapevine smoke makes a run by hand", true, nil},
		{"no credentials", "", true, agent},
	} {
		s := DefaultCheck()
		s.Enabled = tc.enabled
		_, err := s.New(collectors.Env{Node: "a", Paths: collectors.Paths{Root: t.TempDir()}, Logger: log.NewNopLogger(), Verdicts: tc.verdicts})
		if !errors.Is(err, collectors.ErrAbsent) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// Each reason for which a node is left out has its state.
func TestNodeStates(t *testing.T) {
	t.Parallel()
	for want, edit := range map[string]func(*corev1.Node){
		"cordoned":  func(n *corev1.Node) { n.Spec.Unschedulable = true },
		"leaving":   func(n *corev1.Node) { n.DeletionTimestamp = &metav1.Time{} },
		"not_ready": func(n *corev1.Node) { n.Status.Conditions = nil },
		"platform":  func(n *corev1.Node) { n.Status.NodeInfo.OperatingSystem = "windows" },
		"tainted": func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoExecute}}
		},
	} {
		n := &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
		edit(n)
		if got := (Skipped{Node: "a", Reason: unusable(n)}).state(); got != want || !slices.Contains(nodeStates, got) {
			t.Errorf("%s: %s, want %s", unusable(n), got, want)
		}
	}
}
