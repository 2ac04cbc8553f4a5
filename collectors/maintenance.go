package collectors

// Maintenance is a state of the node in which bad verdicts are to be
// expected: they are shown as unknown then, so that nobody is woken.
type Maintenance string

// The states there are.
const (
	// Cordoned: no new pods, and a drain may be under way. It excuses the
	// checks of workloads only: see Spec.Workload.
	Cordoned Maintenance = "cordoned"
	// ShuttingDown and JustStarted excuse every check.
	ShuttingDown Maintenance = "shutting down"
	JustStarted  Maintenance = "just started"
)

// Maintenances lists the states, the one that tells most first.
var Maintenances = []Maintenance{ShuttingDown, JustStarted, Cordoned}

// Maintenance records that the node is in state m.
func (r *Report) Maintenance(m Maintenance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.maintenance = append(r.maintenance, m)
	}
}

// Maintained returns the states that were recorded.
func (r *Report) Maintained() []Maintenance {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.maintenance
}
