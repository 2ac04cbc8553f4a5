package smoke

import (
	"math"
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// checkName is that of the check; runsSubject is what its verdict on who makes
// the runs, and whether any are made, is filed under. Who gives one has the
// check switched on.
const (
	checkName   = "smoke"
	runsSubject = "runs"
)

// hungSubject is what the schedule files it under that a check hangs, has
// panicked or was not finished in time.
const hungSubject = "run"

// runner is the node that makes the runs, of those that have the check
// switched on and are up as self sees them: by rendezvous hashing, so that
// all who see the same choose the same, and one that comes or goes changes the
// choice only if it is chosen itself. Who does not reach the API server, or
// hangs, is passed over, unless all do.
func runner(self string, all []collectors.NodeVerdicts) string {
	best, bestIsFit := "", false
	consider := func(node string, fit bool) {
		switch {
		case best == "" || fit && !bestIsFit:
		case fit != bestIsFit, rank(node) < rank(best), rank(node) == rank(best) && node > best:
			return
		}
		best, bestIsFit = node, fit
	}
	known := false
	for _, n := range all {
		if known = known || n.Node == self; n.Node == self || n.Up && says(n.Results, runsSubject) {
			consider(n.Node, down(n.Results, apiserverCheck) != yes && !says(n.Results, hungSubject))
		}
	}
	if !known { // it has said nothing yet
		consider(self, true)
	}
	return best
}

// rank is where a node stands in the choice of the runner.
func rank(node string) uint64 { return place(math.MaxUint64, node) }

// says tells whether the check has a verdict on that among results.
func says(results []health.Result, subject string) bool {
	return slices.ContainsFunc(results, func(r health.Result) bool { return r.Check == checkName && r.Subject == subject })
}

// ofStep tells whether a verdict is one on a step of a run. That there was
// none for long is said of the steps, too, but without evidence.
func ofStep(r *health.Result) bool {
	return r.Check == checkName && r.Subject != runsSubject && r.Subject != hungSubject && r.Evidence.Unit != ""
}

// lastRun is when steps were last looked at by this node and by others; zero
// when nothing is known of it.
func lastRun(self string, all []collectors.NodeVerdicts) (own, others time.Time) {
	for _, n := range all {
		of := &others
		if n.Node == self {
			of = &own
		}
		for i := range n.Results {
			if r := &n.Results[i]; ofStep(r) && r.Observed.After(*of) {
				*of = r.Observed
			}
		}
	}
	return own, others
}

// recall is what this node's own verdicts tell of its last run: the check is
// built anew at each reload.
func (c *check) recall(all []collectors.NodeVerdicts, made time.Time) *Report {
	r := &Report{Began: made}
	for _, n := range all {
		if n.Node != c.env.Node {
			continue
		}
		for i := range n.Results {
			if v := &n.Results[i]; ofStep(v) {
				r.Steps = append(r.Steps, Step{Name: v.Subject, Status: v.Status, Seconds: v.Evidence.Value, Reason: v.Reason})
			}
		}
	}
	r.Status = r.worst().Status
	return r
}
