package schedule

import (
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// Maintenance returns the states of maintenance this node is in, the one that
// tells most first.
func (s *Schedule) Maintenance() []collectors.Maintenance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maintained(time.Now())
}

// maintained needs s.mu.
func (s *Schedule) maintained(now time.Time) []collectors.Maintenance {
	var states []collectors.Maintenance
	for _, m := range collectors.Maintenances {
		is := m == collectors.JustStarted && now.Before(s.startedUntil)
		for _, rec := range s.records {
			is = is || slices.Contains(rec.maintenance, m)
		}
		if is {
			states = append(states, m)
		}
	}
	return states
}

// excused is a verdict as others see it while the node is in these states: a
// bad one is unknown, with the reason for both.
func excused(r health.Result, workload bool, states []collectors.Maintenance) health.Result {
	if r.Status != health.Warning && r.Status != health.Critical {
		return r
	}
	for _, m := range states {
		if m != collectors.Cordoned || workload {
			r.Reason = "the node is " + string(m) + "; " + r.Status.String() + " otherwise: " + r.Reason
			r.Status = health.Unknown
			return r
		}
	}
	return r
}
