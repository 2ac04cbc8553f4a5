package smoke

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// courseOf is a run with all its steps before it.
func courseOf(t *testing.T, told func(Step)) *course {
	s := Default()
	c := &course{s: s, told: told, outer: t.Context()}
	c.begin(s.steps())
	return c
}

// What hangs on a step that has failed is not blamed.
func TestTheRightStepIsRed(t *testing.T) {
	t.Parallel()
	c := courseOf(t, nil)
	for _, name := range []string{StepAdmit, StepSchedule, StepStart, StepRuntime, StepTCP, StepUDP} {
		c.record(name, time.Second, verdict{})
	}
	c.record(StepService, time.Second, verdictf(health.Critical, "from n1: silence").on("n1"))
	c.record(StepDNS, time.Second, verdictf(health.Critical, "from n1: no such name"))
	c.record(StepAPI, time.Second, verdict{})
	c.conclude("fine")
	var got []string
	for _, s := range c.report.Steps {
		if s.Status != health.OK {
			got = append(got, s.Name+" "+s.Status.String()+" "+s.Reason)
		}
	}
	want := []string{
		"service critical from n1: silence",
		"dns unknown hangs on service, which has failed: from n1: no such name",
		"delete unknown not reached",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if c.report.Status != health.Critical || c.report.Reason != "service: from n1: silence" {
		t.Errorf("%v: %s", c.report.Status, c.report.Reason)
	}
}

// A step that is taken twice has the worse verdict, the time of both, and is
// told again only when it got worse.
func TestStepTakenTwice(t *testing.T) {
	t.Parallel()
	var told []string
	c := courseOf(t, func(s Step) { told = append(told, s.Name+" "+s.Status.String()) })
	c.record(StepRuntime, time.Second, verdict{})
	c.record(StepRuntime, 2*time.Second, verdict{})
	c.record(StepRuntime, time.Second, verdictf(health.Critical, "no"))
	c.record(StepRuntime, time.Second, verdictf(health.Unknown, "who knows"))
	if s, _ := c.report.Step(StepRuntime); s.Status != health.Critical || s.Reason != "no" || s.Seconds != 5 {
		t.Errorf("%+v", s)
	}
	if !slices.Equal(told, []string{"runtime ok", "runtime critical"}) {
		t.Errorf("told %q", told)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	v := join([]verdict{
		{}, verdictf(health.Critical, "a").on("n1"), verdictf(health.Critical, "a").on("n1"), verdictf(health.Warning, "b").on("n2", "n1"),
	})
	if v.status != health.Critical || v.reason != "a; b" || strings.Join(v.nodes, " ") != "n1 n2" {
		t.Errorf("%+v", v)
	}
	absent := verdict{status: health.Critical, reason: "there is no image", local: true}
	if v := join([]verdict{absent.on("n1"), {}, absent.on("n2")}); v.reason != "on n1 and n2 there is no image" || len(v.nodes) != 2 {
		t.Errorf("%+v", v)
	}
	if v := join(nil); v.status != health.OK || v.reason != "" {
		t.Errorf("%+v", v)
	}
}

// The client on the other node has asked the server there what arrives.
func TestLostWay(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	r := &run{course: course{report: Report{Nodes: []string{"n0", "n1"}}}}
	seen := func(heard *bool) []Findings {
		return []Findings{
			{Node: "n0", Findings: []Finding{{Step: StepTCP, Fault: "silence"}}},
			{Node: "n1", Findings: []Finding{{Step: StepTCP, Fault: "silence", Heard: heard}}},
		}
	}
	for want, heard := range map[string]*bool{
		"": nil, "what pods on n0 send does not arrive on n1": &no,
		"what pods on n0 send arrives on n1, and the answers do not come back": &yes,
	} {
		if got := r.lostWay(StepTCP, "n0", seen(heard)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	filtered := seen(&yes)
	filtered[0].Findings = append(filtered[0].Findings, Finding{Step: StepUDP})
	if got := r.lostWay(StepTCP, "n0", filtered); got != "UDP passes" {
		t.Errorf("%q", got)
	}
}

// Only a service that does not lead to pods which reach each other is the
// fault of what leads there.
func TestServiceIsToBlame(t *testing.T) {
	t.Parallel()
	for below, want := range map[string]string{
		"":      "critical from n1: silence; look at kube-proxy on n1, or at what stands in for it",
		StepTCP: "unknown hangs on pod-tcp, which has failed: from n1: silence",
		StepUDP: "unknown hangs on pod-udp, which has failed: from n1: silence",
	} {
		r := &run{course: *courseOf(t, nil)}
		r.record(below, time.Second, verdictf(health.Critical, "lost"))
		r.record(StepService, time.Second, r.judgeFinding(StepService, "n1", Finding{Step: StepService, Fault: "silence"}, nil))
		if s, _ := r.report.Step(StepService); s.Status.String()+" "+s.Reason != want {
			t.Errorf("with %q failed: %s %s", below, s.Status, s.Reason)
		}
	}
}
