package collectors

import (
	"fmt"
	"slices"
	"strings"

	"github.com/grapevine-mesh/grapevine/health"
)

// maxReason bounds a verdict's reason in bytes, so that it fits into a user
// event of the mesh and a line of a terminal.
const maxReason = 400

// assessment gathers all that one run finds about one subject, and turns it
// into one verdict: the worst status, with every finding in the reason.
type assessment struct {
	about    string // begins the reason: "etcd endpoint 10.0.0.1:2379"
	findings []finding
	// measured is the evidence shown while nothing was found.
	measured health.Evidence
	// note is the reason given while nothing was found; mostly there is none.
	note string
}

// finding is one thing that is not as it should be.
type finding struct {
	status   health.Status
	text     string // goes on after assessment.about
	evidence health.Evidence
}

// add records a finding. format goes on after the words of about.
func (a *assessment) add(status health.Status, format string, args ...any) {
	a.findings = append(a.findings, finding{status: status, text: fmt.Sprintf(format, args...)})
}

// hold records a finding when value reaches one of the limits.
func (a *assessment) hold(value float64, limits Limits, unit, format string, args ...any) {
	status, limit := limits.judge(value)
	if status == health.OK {
		return
	}
	a.findings = append(a.findings, finding{
		status: status, text: fmt.Sprintf(format, args...),
		evidence: health.Evidence{Value: value, Threshold: limit, Unit: unit},
	})
}

// verdict writes what was found to r, worst first.
func (a *assessment) verdict(r *Report, subject string) {
	if len(a.findings) == 0 {
		r.Verdict(subject, health.OK, a.note, a.measured)
		return
	}
	slices.SortStableFunc(a.findings, func(x, y finding) int {
		switch {
		case x.status.WorseThan(y.status):
			return -1
		case y.status.WorseThan(x.status):
			return 1
		}
		return 0
	})
	var texts []string
	for _, f := range a.findings {
		if !slices.Contains(texts, f.text) {
			texts = append(texts, f.text)
		}
	}
	worst := a.findings[0]
	r.Verdict(subject, worst.status, clip(a.about+" "+strings.Join(texts, "; "), maxReason), worst.evidence)
}
