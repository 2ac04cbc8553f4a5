package schedule

import (
	"context"
	"testing"
	"time"

	"github.com/go-kit/log"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// parted is a check of scripted parts.
type parted []collectors.Part

func (parted) Name() string { return "one" }
func (parted) Collect(context.Context, *collectors.Report) error {
	panic("the whole is never run")
}
func (p parted) Parts() []collectors.Part { return p }

// part is scripted, and speaks of a subject of its own name.
func part(t *testing.T, name string, every time.Duration, threshold int, do func(ctx context.Context, n int, r *collectors.Report) error) collectors.Part {
	return collectors.Part{
		Name:      name,
		Collector: &scripted{t: t, name: "one", do: do},
		Timing:    collectors.Timing{Interval: every, Timeout: every / 2, FailureThreshold: threshold, SuccessThreshold: 1},
	}
}

func speaks(subject string, status health.Status) func(context.Context, int, *collectors.Report) error {
	return func(_ context.Context, _ int, r *collectors.Report) error {
		r.Verdict(subject, status, subject+" is "+status.String(), health.Evidence{})
		return nil
	}
}

// Each part has its own pace and damping, and one that hangs hangs alone.
func TestParts(t *testing.T) {
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		release := make(chan struct{}) // of the bubble
		quick := part(t, "quick", 2*time.Second, 1, speaks("quick", health.Critical))
		slow := part(t, "slow", 30*time.Second, 3, speaks("slow", health.Critical))
		hung := part(t, "hung", 4*time.Second, 1, func(_ context.Context, n int, r *collectors.Report) error {
			if n == 1 {
				return speaks("hung", health.OK)(nil, n, r)
			}
			<-release
			return nil
		})
		s.Replace([]Check{{Collector: parted{quick, slow, hung}}})
		pass(19 * time.Second)
		wantShown(t, s, map[string]string{
			"one/quick":       "critical: quick is critical",
			"one/slow":        "unknown: waiting for confirmation, run 2 of 3 saw critical: slow is critical",
			"one/hung":        "unknown: not seen by the last run: has not finished since it started at 2000-01-01 00:00:02 UTC",
			"one/run of hung": "unknown: has not finished since it started at 2000-01-01 00:00:02 UTC",
		})
		n := gather(t, s)
		if n["grapevine_check_enabled"] != 2 || n["grapevine_check_runs_total"] != 1 || n["grapevine_check_status"] != 4 {
			t.Errorf("series: %v", n)
		}
		runs := tallies(s.records)["one"].runs
		if quickRuns := len(quick.Collector.(*scripted).starts); quickRuns < 9 || runs < uint64(quickRuns)+4 {
			t.Errorf("%d runs, %d of them of the quick part", runs, quickRuns)
		}

		// Parts that are gone leave nothing but their runs.
		s.Replace([]Check{{Collector: parted{quick}}})
		close(release)
		pass(time.Second)
		if len(s.records) != 3 || tallies(s.records)["one"].runs < runs {
			t.Errorf("records %v, %d runs of %d", s.records, tallies(s.records)["one"].runs, runs)
		}
		if got := shown(s); len(got) != 1 || got["one/quick"] == "" {
			t.Errorf("shown %v", got)
		}
	}, &scripted{name: "two", do: says(health.OK)})
}

// A part that comes back waits for its own old run.
func TestPartsOverAReload(t *testing.T) {
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		release := make(chan struct{}) // of the bubble
		old := part(t, "a", 2*time.Second, 1, func(context.Context, int, *collectors.Report) error { <-release; return nil })
		s.Replace([]Check{{Collector: parted{old}}})
		pass(time.Second)
		s.Replace(nil)
		anew := part(t, "a", 2*time.Second, 1, speaks("a", health.OK))
		s.Replace([]Check{{Collector: parted{anew}}})
		pass(time.Second)
		if n := len(anew.Collector.(*scripted).starts); n != 0 {
			t.Errorf("%d runs beside the old one", n)
		}
		close(release)
		pass(5 * time.Second)
		if got := shown(s); got["one/a"] != "ok: a is ok" {
			t.Errorf("shown %v", got)
		}
	})
}

func TestPartsOnce(t *testing.T) {
	whole := parted{part(t, "a", 2*time.Second, 5, speaks("a", health.OK)), part(t, "b", 2*time.Second, 5, speaks("b", health.Critical))}
	results := Once(t.Context(), []Check{{Collector: whole}}, log.NewNopLogger())
	if len(results) != 2 || results[0].Subject != "a" || results[1].Status != health.Critical || results[1].Check != "one" {
		t.Errorf("results %+v", results)
	}
}
