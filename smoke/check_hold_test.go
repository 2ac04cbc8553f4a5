package smoke

import (
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// told waits a little and holds what the runner says of something.
func told(t *testing.T, n *fleetNode, subject string, status health.Status, words ...string) {
	t.Helper()
	r := n.shown(subject)
	if r.Status != status {
		t.Errorf("%s is %s, want %s: %s", subject, r.Status, status, r.Reason)
	}
	for _, word := range words {
		if !strings.Contains(r.Reason, word) {
			t.Errorf("%s does not say %q: %s", subject, word, r.Reason)
		}
	}
}

// While the API server is slow no run is made, and it is told why; what was
// proven is not believed for ever.
func TestSlowAPIPutsRunsOff(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		n := f.nodes[onePerTurn(t, f.pass(time.Hour))]
		f.change(func() { n.latency = 3 * time.Second })
		if made := f.pass(10 * time.Minute); len(made) > 0 {
			t.Errorf("%d runs while the API server is slow", len(made))
		}
		told(t, n, runsSubject, health.OK, "waits", "the API server took 3.0 s for a small answer")
		told(t, n, StepDNS, health.OK)
		f.pass(20 * time.Minute)
		told(t, n, runsSubject, health.Unknown, "no run for", "the API server took 3.0 s")
		told(t, n, StepDNS, health.Unknown, "no run for")
		if got := n.values("grapevine_smoke_skipped_runs_total"); got["slow"] < 5 || got["slow"] > 7 || got["degraded"] != 0 {
			t.Errorf("runs that were not made in half an hour: %v", got)
		}
		f.change(func() { n.latency = 0 })
		if onePerTurn(t, f.pass(10*time.Minute)) != n.name {
			t.Error("another makes the runs")
		}
		told(t, n, runsSubject, health.OK, "x and y")
		told(t, n, StepDNS, health.OK)
	})
}

// While what runs need is down, as most nodes see it, no run adds to that.
func TestDegradedClusterPutsRunsOff(t *testing.T) {
	t.Parallel()
	noScheduler := []health.Result{{Check: "scheduler", Subject: "lease", Status: health.Critical, Reason: "held by nobody"}}
	scheduler := []health.Result{{Check: "scheduler", Subject: "lease", Status: health.OK}}
	inFleet(t, 5, func(t *testing.T, f *fleet) {
		n := f.nodes[onePerTurn(t, f.pass(time.Hour))]
		f.change(func() {
			f.nodes["a"].others, f.nodes["b"].others, f.nodes["c"].others = noScheduler, scheduler, scheduler
		})
		if made := f.pass(time.Hour); len(made) < 11 { // one of three is wrong by itself
			t.Errorf("%d runs", len(made))
		}
		f.change(func() { f.nodes["b"].others = noScheduler })
		if made := f.pass(time.Hour); len(made) > 0 {
			t.Errorf("%d runs while there is no scheduler", len(made))
		}
		told(t, n, runsSubject, health.Unknown, "no run for", "scheduler is critical on 2 of 3 nodes")
		if got := n.values("grapevine_smoke_skipped_runs_total"); got["degraded"] < 11 || got["degraded"] > 13 {
			t.Errorf("runs that were not made in an hour: %v", got)
		}
		f.change(func() { f.nodes["b"].others = nil })
		f.change(func() { f.nodes["a"].others = nil })
		onePerTurn(t, f.pass(time.Hour))
	})
}

// As long as what runs leave cannot be removed, they come more and more
// seldom.
func TestLeftoversOpenTheBreaker(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		n := f.nodes["a"]
		f.pass(time.Hour)
		f.change(func() { n.after = func(r *Report, _ int) { r.Leftovers = []string{"pods/smoke-1-server-0"} } })
		made := f.pass(12 * time.Hour)
		if len(made) < 12 || len(made) > 16 {
			t.Errorf("%d runs in twelve hours", len(made))
		}
		gap := time.Duration(0)
		for i := 1; i < len(made); i++ {
			now := made[i].at.Sub(made[i-1].at)
			if now < gap*3/4 || now > maxBackoff+2*f.s.Interval {
				t.Errorf("run %d came %v after the last one, that one %v after the one before", i, now, gap)
			}
			gap = now
		}
		told(t, n, runsSubject, health.Unknown, "no run for")
		if got := n.values("grapevine_smoke_leftovers"); got[""] != 1 {
			t.Errorf("leftovers: %v", got)
		}
		f.pass(time.Until(n.check.breaker.until) + 2*f.s.Schedule().Interval)
		told(t, n, runsSubject, health.Warning, "no run before", "could not be removed: pods/smoke-1-server-0")
		f.change(func() { n.after = nil })
		f.pass(2 * time.Hour)
		onePerTurn(t, f.pass(time.Hour))
		told(t, n, runsSubject, health.OK)
	})
}

// A run in which the API server was slow to take the pods opens it, too.
func TestSlowRunOpensTheBreaker(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		n := f.nodes["a"]
		f.change(func() {
			n.outcome = func(int) []Step { return []Step{{Name: StepAdmit, Seconds: 9}} }
		})
		if made := f.pass(3 * time.Hour); len(made) > 7 {
			t.Errorf("%d runs in three hours", len(made))
		}
		if got := n.values("grapevine_smoke_skipped_runs_total"); got["slow"] < 25 {
			t.Errorf("runs that were not made: %v", got)
		}
	})
}
