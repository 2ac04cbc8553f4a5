package smoke

import (
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

func failing(step, reason string, nodes ...string) []Step {
	return []Step{{Name: step, Status: health.Critical, Seconds: 5, Reason: reason, Nodes: nodes}}
}

// One bad run is confirmed by a second one at once, then shown; a third comes
// in its turn.
func TestBadRunIsConfirmedAtOnce(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		n := f.nodes["a"]
		f.pass(time.Hour)
		f.change(func() { n.outcome = func(int) []Step { return failing(StepUDP, "no answer", "x") } })
		made := f.pass(time.Hour)
		if len(made) < 12 || len(made) > 14 {
			t.Errorf("%d runs in an hour, want one a turn and one to confirm", len(made))
		}
		if gap := made[1].at.Sub(made[0].at); gap > time.Minute {
			t.Errorf("the second run came after %v", gap)
		}
		told(t, n, StepUDP, health.Critical, "no answer [x]")
		told(t, n, StepTCP, health.OK)
		told(t, n, runsSubject, health.OK)
		if got := n.values("grapevine_smoke_success"); got[""] != 0 {
			t.Errorf("success is %v", got)
		}
		if got := n.values("grapevine_smoke_step_success"); got[StepUDP] != 0 || got[StepTCP] != 1 {
			t.Errorf("steps: %v", got)
		}
		f.change(func() { n.outcome = nil })
		f.pass(f.s.Interval + f.s.Schedule().Interval)
		told(t, n, StepUDP, health.OK)
	})
}

// One bad run alone is not shown.
func TestOneBadRunIsNotShown(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		n := f.nodes["a"]
		f.change(func() {
			n.outcome = func(run int) []Step {
				if run%2 == 0 {
					return failing(StepUDP, "no answer", "x")
				}
				return nil
			}
		})
		runs := 0
		for range 200 {
			runs += len(f.pass(time.Minute))
			if r := n.shown(runsSubject); r.Status != health.OK {
				t.Fatalf("%s: %s", r.Subject, r.Reason)
			}
			for _, r := range n.runs.Results() {
				if r.Status != health.OK {
					t.Fatalf("%s is %s: %s", r.Subject, r.Status, r.Reason)
				}
			}
		}
		if runs > 2*41 {
			t.Errorf("%d runs in 200 minutes", runs)
		}
	})
}

// Runs that never see the same are not repeated without end.
func TestRunsThatDisagree(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		n := f.nodes["a"]
		f.pass(time.Hour)
		f.change(func() {
			n.outcome = func(run int) []Step { return failing(f.s.steps()[run%8], "no answer", "x") }
		})
		if made := f.pass(time.Hour); len(made) > 2*13 {
			t.Errorf("%d runs in an hour", len(made))
		}
	})
}

// What was critical stays so while no run is made: nobody has seen it well.
func TestCriticalStandsWithoutRuns(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		n := f.nodes["a"]
		f.change(func() { n.outcome = func(int) []Step { return failing(StepTCP, "no answer", "x") } })
		f.pass(time.Hour)
		f.change(func() { n.latency = 2 * time.Second })
		f.pass(time.Hour)
		told(t, n, StepTCP, health.Critical, "no answer [x]")
		told(t, n, StepDNS, health.Unknown, "no run for")
	})
}

// What the runs cost in series: those of a histogram by step on the node that
// makes them, and none on the others.
func TestFewSeries(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		f.s.Steps = StepSettings{DNS: true, API: true, Logs: true, Exec: true, Policy: true, Volume: true}
		for _, n := range f.nodes {
			n.load()
		}
		who := onePerTurn(t, f.pass(time.Hour))
		for name, n := range f.nodes {
			families, err := n.reg.Gather()
			must(t, err)
			series := 0
			for _, family := range families {
				for _, m := range family.GetMetric() {
					if series++; m.GetHistogram() != nil {
						series += len(m.GetHistogram().GetBucket()) + 2 // +Inf, sum and count
					}
				}
			}
			most := 15 // what the schedule exports of every check
			if name == who {
				most = 230
			}
			t.Logf("%s makes runs: %v; it has %d series", name, name == who, series)
			if series > most {
				t.Errorf("%s: %d series, at most %d are wanted", name, series, most)
			}
		}
	})
}
