package collectors

import (
	"context"
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

func meshSpec() Spec {
	return Spec{
		Name:    "mesh",
		Summary: "whether the mesh of agents is split, and which ways between this node and others are cut",
		Why:     "In a split each side is blind to the other, and what only the other side sees pages nobody here; a way cut in one direction or on one port is found late, because others relay around it.",
		Remedy: "Ask an agent on each side (grapevine status --url): each names its own side, the other and since when. Nothing passes: look at the network between the two sides. Only exchange or only gossip fails: look for a filter on that port, TCP 7997, or TCP and UDP 7996. " +
			"One direction: look at routes and filters of the way named. The mesh heals by itself within seconds once packets pass.",
		Subject:  `"partition"; of this node's own ways that are cut "one-way", "exchange", "gossip", "pair" (nothing passes); "alone" when nobody answers whom it could join`,
		Settings: func() Settings { return defaultMeshSettings() },
	}
}

// meshSettings is the block "mesh" of the configuration file.
type meshSettings struct {
	Timing `yaml:",inline"`
}

// The mesh has confirmed what it says.
func defaultMeshSettings() *meshSettings {
	return &meshSettings{Timing{Interval: 2 * time.Second, Timeout: time.Second, FailureThreshold: 1, SuccessThreshold: 1}}
}

// New is absent where no mesh runs.
func (s *meshSettings) New(env Env) (Collector, error) {
	if env.Mesh == nil {
		return nil, fmt.Errorf("only an agent that runs knows the mesh: %w", ErrAbsent)
	}
	return meshCheck{env.Mesh}, nil
}

// meshCheck passes on what the mesh says of itself.
type meshCheck struct{ said func() []health.Result }

// Name is the check's name.
func (meshCheck) Name() string { return "mesh" }

// Collect asks nobody but this process.
func (c meshCheck) Collect(_ context.Context, r *Report) error {
	for _, v := range c.said() {
		r.Verdict(v.Subject, v.Status, v.Reason, v.Evidence)
	}
	return nil
}
