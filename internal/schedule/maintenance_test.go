package schedule

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// statusOf is what others see of the only subject of a check.
func statusOf(s *Schedule, check string) health.Result {
	for _, r := range s.Results() {
		if r.Check == check {
			return r
		}
	}
	return health.Result{}
}

// A cordoned node excuses its workloads and nothing else, and only for as
// long as somebody says so.
func TestCordonExcusesWorkloads(t *testing.T) {
	cordonedUntil := 4
	one := &scripted{name: "one", do: func(_ context.Context, n int, r *collectors.Report) error {
		r.Verdict("a", health.Critical, "a is away", health.Evidence{})
		if n < cordonedUntil {
			r.Maintenance(collectors.Cordoned)
		}
		return nil
	}}
	two := &scripted{name: "two", do: says(health.Critical)}
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Logger: log.NewNopLogger(), Random: func() float64 { return 0 }})
		checks := all(t, one, two)
		checks[0].Workload = true
		s.Replace(checks)
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- s.Run(ctx) }()

		pass(11 * time.Second)
		if r := statusOf(s, "one"); r.Status != health.Unknown || !strings.Contains(r.Reason, "cordoned") || !strings.Contains(r.Reason, "a is away") {
			t.Errorf("a workload of a cordoned node: %+v", r)
		}
		if r := statusOf(s, "two"); r.Status != health.Critical {
			t.Errorf("no workload: %+v", r)
		}
		if got := s.Maintenance(); len(got) != 1 || got[0] != collectors.Cordoned {
			t.Errorf("maintenance: %v", got)
		}
		pass(30 * time.Second)
		if r := statusOf(s, "one"); r.Status != health.Critical || r.Reason != "a is away" {
			t.Errorf("uncordoned: %+v", r)
		}
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

// A node that has just started is given time, and then judged at once.
func TestStartGrace(t *testing.T) {
	one := &scripted{name: "one", do: says(health.Critical)}
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Logger: log.NewNopLogger(), Random: func() float64 { return 0 }, StartedUntil: time.Now().Add(time.Minute)})
		s.Replace(all(t, one))
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- s.Run(ctx) }()
		pass(30 * time.Second)
		if r := statusOf(s, "one"); r.Status != health.Unknown || !strings.Contains(r.Reason, "just started") {
			t.Errorf("within the grace: %+v", r)
		}
		pass(31 * time.Second)
		if r := statusOf(s, "one"); r.Status != health.Critical {
			t.Errorf("after the grace: %+v", r)
		}
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}
