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

func TestHangingCheck(t *testing.T) {
	release := make(chan struct{})
	hang := &scripted{name: "one", do: func(_ context.Context, n int, r *collectors.Report) error {
		r.Verdict("a", health.OK, "fine", health.Evidence{})
		r.Sample(&heat, 1, "a")
		if n == 2 {
			<-release
			r.Verdict("b", health.Critical, "too late to be heard", health.Evidence{})
		}
		r.Verdict("b", health.OK, "fine", health.Evidence{})
		return nil
	}}
	steady := &scripted{name: "two", do: says(health.OK)}
	synctest.Test(t, func(t *testing.T) {
		release = make(chan struct{}) // must belong to the bubble
		s := New(Config{Logger: log.NewNopLogger(), Random: func() float64 { return 0 }})
		s.Replace(all(t, hang, steady))
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- s.Run(ctx) }()

		pass(4 * time.Second)
		wantShown(t, s, map[string]string{"one/a": "ok: fine", "one/b": "ok: fine", "two/a": "ok: a is ok"})
		began := clock(time.Now().Add(time.Second))
		pass(8 * time.Second) // started at 5 s, overdue at 11 s
		overdue := "has not finished since it started at " + began
		wantShown(t, s, map[string]string{
			"one/a":   "ok: fine", // the partial result
			"one/b":   "ok: fine; not confirmed yet, run 1 of 2 saw unknown: not seen by the last run: " + overdue,
			"one/run": "unknown: " + overdue,
			"two/a":   "ok: a is ok",
		})
		pass(20 * time.Second) // more than three intervals after the last run that finished
		for name, text := range shown(s) {
			if strings.HasPrefix(name, "one/") != strings.HasPrefix(text, "unknown: ") {
				t.Errorf("%s is shown as %q", name, text)
			}
		}
		if got := gather(t, s)["grapevine_heat_celsius"]; got != 1 {
			t.Errorf("%d series of the heat, want only the living check's", got)
		}
		if hang.runs.Load() != 2 {
			t.Errorf("%d runs while one hangs, want 2 in all", hang.runs.Load())
		}
		close(release)
		pass(2 * time.Second)
		if hang.runs.Load() != 3 {
			t.Errorf("%d runs after the hang, want 3", hang.runs.Load())
		}
		pass(10 * time.Second)
		wantShown(t, s, map[string]string{"one/a": "ok: fine", "one/b": "ok: fine", "two/a": "ok: a is ok"})
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

func TestEndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hang := &scripted{name: "one", t: t, do: func(context.Context, int, *collectors.Report) error { <-release; return nil }}
		s := New(Config{Logger: log.NewNopLogger(), Grace: 2 * time.Second})
		s.Replace(all(t, hang))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := s.Run(ctx)
		if err == nil || !strings.Contains(err.Error(), "one") {
			t.Errorf("Run returned %v, want an error that names the check left behind", err)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("Run ended after %v, want 5s", took)
		}
		close(release)
		synctest.Wait()
		if hang.closed.Load() != 1 {
			t.Error("the collector left behind was not closed when it returned")
		}
	})
}
