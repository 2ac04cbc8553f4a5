package smoke

import (
	"context"
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// CheckSettings is the block "smoke" of the checks in the configuration file.
type CheckSettings struct {
	Settings `yaml:",inline"`

	// MaxLatency is how long the API server may take to list one node. When
	// it takes longer it has enough to do, and the run is put off. 1 s is what
	// Kubernetes promises for 99 % of such requests (SIG Scalability).
	MaxLatency time.Duration `yaml:"max_latency"`
	// FailureThreshold is how many runs in a row must see a step worse before
	// that is shown, SuccessThreshold how many must see it better.
	FailureThreshold int `yaml:"failure_threshold"`
	SuccessThreshold int `yaml:"success_threshold"`
}

// maxThreshold bounds the runs that are made to confirm one.
const maxThreshold = 10

// DefaultCheck is what holds for all that the file does not say.
func DefaultCheck() *CheckSettings {
	return &CheckSettings{Settings: Default(), MaxLatency: time.Second, FailureThreshold: 2, SuccessThreshold: 1}
}

// spare is what a run may take beyond its deadline: the questions that explain
// what has gone wrong.
const spare = 4 * time.Second

// Schedule tells how often to look whether a run is due. The pace is such that
// a run has the time it needs.
func (s *CheckSettings) Schedule() collectors.Timing {
	t := collectors.Timing{Timeout: s.Deadline + spare, FailureThreshold: s.FailureThreshold, SuccessThreshold: s.SuccessThreshold}
	t.Interval = t.Timeout * 5 / 4
	return t
}

// Pace words how often runs are made, for people.
func (s *CheckSettings) Pace() string {
	return fmt.Sprintf("every %v, on one node for the cluster; a step is bad after %d bad runs in a row, the second of which comes at once, and good again after %d good ones",
		s.Interval, s.FailureThreshold, s.SuccessThreshold)
}

// Validate names the first impossible value by its key.
func (s *CheckSettings) Validate() error {
	if err := s.Settings.Validate(); err != nil {
		return err
	}
	timing := s.Schedule()
	switch {
	case timing.Interval > s.Interval:
		return fmt.Errorf("deadline: %v leaves no time between two runs %v apart", s.Deadline, s.Interval)
	case s.MaxLatency < 10*time.Millisecond || s.MaxLatency > firstAnswer:
		return fmt.Errorf("max_latency: %v is not between 10ms and %v", s.MaxLatency, firstAnswer)
	case s.FailureThreshold < 1 || s.FailureThreshold > maxThreshold:
		return fmt.Errorf("failure_threshold: %d is not between 1 and %d", s.FailureThreshold, maxThreshold)
	case s.SuccessThreshold < 1 || s.SuccessThreshold > maxThreshold:
		return fmt.Errorf("success_threshold: %d is not between 1 and %d", s.SuccessThreshold, maxThreshold)
	}
	return nil
}

// New needs credentials; whether they suffice is seen in each run.
func (s *CheckSettings) New(env collectors.Env) (collectors.Collector, error) {
	if !s.Enabled {
		return nil, fmt.Errorf("a smoke test that is switched on is %w: set enabled to true, and give it rights (deploy/smoke.yaml)", collectors.ErrAbsent)
	}
	if env.Verdicts == nil {
		return nil, fmt.Errorf("the mesh, in which one node is chosen to make the runs, is %w: only agents have one; grapevine smoke makes a run by hand", collectors.ErrAbsent)
	}
	client, err := Open(s.Kubeconfig, env)
	if err != nil {
		return nil, err
	}
	c := newCheck(*s, env)
	c.client, c.probe = client, client.latency
	c.run = func(ctx context.Context, turn uint64) Report {
		return Run(ctx, client, s.Settings, Options{Turn: turn})
	}
	return c, nil
}
