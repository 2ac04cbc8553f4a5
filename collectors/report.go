package collectors

import (
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/grapevine-mesh/grapevine/health"
)

// Report gathers what one run of a check saw. Collect may write to it from
// several goroutines. Once taken it is closed: what a goroutine that outlived
// its run still writes is dropped.
type Report struct {
	now func() time.Time

	mu      sync.Mutex // guards all below
	closed  bool
	samples []Sample
	results []health.Result
	stands  []string // subjects

	maintenance []Maintenance
	families    []*dto.MetricFamily
}

// Sample is one value of one series.
type Sample struct {
	Metric *Metric
	Labels []string // values, in the order of Metric.Labels
	Value  float64
}

// NewReport returns an empty report that stamps its results by now.
func NewReport(now func() time.Time) *Report { return &Report{now: now} }

// Sample records a gauge or counter. labels are the values of m.Labels in
// their order; a wrong number of them is a bug and panics.
func (r *Report) Sample(m *Metric, value float64, labels ...string) {
	if len(labels) != len(m.Labels) {
		panic("collectors: " + m.Name + ": wrong number of label values")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.samples = append(r.samples, Sample{Metric: m, Labels: labels, Value: value})
	}
}

// Family records a whole family that somebody else made, under a name that is
// health.Foreign; its own is a bug and panics. It is not to be changed any
// more. It must be such that a registry takes it, and the mesh carries it.
func (r *Report) Family(mf *dto.MetricFamily) {
	if !health.Foreign(mf.GetName()) {
		panic("collectors: " + mf.GetName() + " is a family of the agent's own")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.families = append(r.families, mf)
	}
}

// Families returns the families that were recorded.
func (r *Report) Families() []*dto.MetricFamily {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.families
}

// Verdict records what is to be said of one subject. reason is a sentence
// that names the subject, for a person who sees nothing else.
func (r *Report) Verdict(subject string, status health.Status, reason string, evidence health.Evidence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.results = append(r.results, health.Result{
			Subject: subject, Status: status, Reason: reason, Evidence: evidence, Observed: r.now(),
		})
	}
}

// Stands records that this run has not looked at a subject: what the last one
// said of it stands, as old as it is, and is not confirmed by this one.
// Nothing is recorded of a subject that nothing was said of.
func (r *Report) Stands(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.stands = append(r.stands, subject)
	}
}

// Standing returns the subjects that were not looked at.
func (r *Report) Standing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stands
}

// Take closes the report and returns what it holds. The results carry neither
// Check nor Since: the schedule knows these.
func (r *Report) Take() ([]Sample, []health.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return r.samples, r.results
}
