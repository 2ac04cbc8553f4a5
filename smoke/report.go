package smoke

import (
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// The steps of a run, in their order.
const (
	StepAdmit    = "admit"    // the API server takes the pods
	StepSchedule = "schedule" // the scheduler binds them
	StepStart    = "start"    // the kubelets take them
	StepRuntime  = "runtime"  // the container runtimes run them
	StepTCP      = "pod-tcp"  // they reach each other, both ways
	StepUDP      = "pod-udp"
	StepService  = "service" // they reach each other by a cluster address
	StepDNS      = "dns"     // the service has its name
	StepAPI      = "api"     // the API server is reached from within
	StepLogs     = "logs"
	StepExec     = "exec"
	StepPolicy   = "policy" // a NetworkPolicy is enforced
	StepVolume   = "volume" // a volume is bound and can be written to
	StepDelete   = "delete" // all is gone, and the nodes have said so
)

// Steps are the names of those that a run takes, in their order.
func (s *Settings) steps() []string {
	all := []string{StepAdmit, StepSchedule, StepStart, StepRuntime, StepTCP, StepUDP, StepService}
	for _, optional := range []struct {
		name string
		on   bool
	}{
		{StepDNS, s.Steps.DNS}, {StepAPI, s.Steps.API}, {StepLogs, s.Steps.Logs}, {StepExec, s.Steps.Exec},
		{StepPolicy, s.Steps.Policy}, {StepVolume, s.Steps.Volume},
	} {
		if optional.on {
			all = append(all, optional.name)
		}
	}
	return append(all, StepDelete)
}

// Report is what came of a run.
type Report struct {
	Status health.Status `json:"status"` // of the worst step
	Reason string        `json:"reason"` // of that step, or what went well
	// Server is host:port of the API server that was asked, or the socket of
	// the container runtime.
	Server    string    `json:"server"`
	Namespace string    `json:"namespace,omitempty"`
	Run       string    `json:"run"` // names the objects of this run
	Began     time.Time `json:"began"`
	Seconds   float64   `json:"seconds"`
	// Nodes were chosen for this run: two, or the only one that can be used.
	Nodes []string `json:"nodes"`
	// Usable is how many they were chosen from.
	Usable int `json:"usable,omitempty"`
	// Skipped are nodes on which no pod can be put now.
	Skipped []Skipped `json:"skipped,omitempty"`
	Steps   []Step    `json:"steps"`
	// Notes are what a reader should know besides.
	Notes []string `json:"notes,omitempty"`
	// Swept are objects of earlier runs that this one has removed, Leftovers
	// those of this run and earlier ones that are still there.
	Swept     []string `json:"swept,omitempty"`
	Leftovers []string `json:"leftovers,omitempty"`
}

// Skipped is a node that no run can use now.
type Skipped struct {
	Node   string `json:"node"`
	Reason string `json:"reason"` // "cordoned"
}

// Step is one of the steps.
type Step struct {
	Name   string        `json:"name"`
	Status health.Status `json:"status"` // Unknown: not reached, or it could not be tried
	// Seconds are those that the step took, also when it failed.
	Seconds float64 `json:"seconds"`
	// Reason is a sentence for a person; empty when all is well.
	Reason string `json:"reason,omitempty"`
	// Nodes are those to look at when it is not well.
	Nodes []string `json:"nodes,omitempty"`
}

// Step returns the step of that name; false when the run does not take it.
func (r *Report) Step(name string) (Step, bool) {
	if i := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Name == name }); i >= 0 {
		return r.Steps[i], true
	}
	return Step{}, false
}

// worst is the first of the steps that no other is worse than.
func (r *Report) worst() Step {
	worst := r.Steps[0]
	for _, s := range r.Steps {
		if s.Status.WorseThan(worst.Status) {
			worst = s
		}
	}
	return worst
}

const notReached = "not reached"
