package agent

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// registry holds this node's metrics. What a check registers stands apart, so
// that it goes on over a reload, and ends when the check is switched off.
type registry struct {
	*prometheus.Registry // what lives as long as the agent

	mu     sync.Mutex // guards checks
	checks map[string]*prometheus.Registry
}

func newRegistry() *registry {
	return &registry{Registry: prometheus.NewRegistry(), checks: make(map[string]*prometheus.Registry)}
}

// of returns the part of a check.
func (r *registry) of(check string) prometheus.Registerer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.checks[check] == nil {
		r.checks[check] = prometheus.NewRegistry()
	}
	return r.checks[check]
}

// keep drops the parts of all checks but these.
func (r *registry) keep(checks []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.checks {
		if !slices.Contains(checks, name) {
			delete(r.checks, name)
		}
	}
}

// Gather gathers from all parts. With an error it still returns what it could
// gather.
func (r *registry) Gather() ([]*dto.MetricFamily, error) {
	all := prometheus.Gatherers{r.Registry}
	r.mu.Lock()
	for _, part := range r.checks {
		all = append(all, part)
	}
	r.mu.Unlock()
	return all.Gather()
}
