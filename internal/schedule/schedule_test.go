package schedule

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a collector whose runs are told by a function of their number,
// which counts from 1.
type scripted struct {
	name   string
	do     func(ctx context.Context, n int, r *collectors.Report) error
	runs   atomic.Int64
	inside atomic.Int64
	closed atomic.Int64
	starts []time.Time // of one goroutine at a time: read it after Run
	t      *testing.T
}

func (c *scripted) Name() string { return c.name }

func (c *scripted) Collect(ctx context.Context, r *collectors.Report) error {
	if c.inside.Add(1) != 1 {
		c.t.Errorf("%s: two runs at a time", c.name)
	}
	defer c.inside.Add(-1)
	c.starts = append(c.starts, time.Now())
	return c.do(ctx, int(c.runs.Add(1)), r)
}

func (c *scripted) Close() error {
	if c.inside.Load() != 0 {
		c.t.Errorf("%s: closed during a run", c.name)
	}
	c.closed.Add(1)
	return nil
}

var (
	every10 = collectors.Timing{Interval: 10 * time.Second, Timeout: 5 * time.Second, FailureThreshold: 2, SuccessThreshold: 2}
	heat    = collectors.Metric{Name: "grapevine_heat_celsius", Help: "Heat.", Type: health.Gauge, Labels: []string{"device"}}
)

func says(status ...health.Status) func(context.Context, int, *collectors.Report) error {
	return func(_ context.Context, n int, r *collectors.Report) error {
		st := status[min(n, len(status))-1]
		r.Verdict("a", st, "a is "+st.String(), health.Evidence{})
		r.Sample(&heat, float64(n), "a")
		return nil
	}
}

// bubble runs f in virtual time, next to a schedule without jitter.
func bubble(t *testing.T, f func(t *testing.T, s *Schedule, stop func() error), checks ...*scripted) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Known: []string{"one", "two"}, Logger: log.NewNopLogger(), Random: func() float64 { return 0 }})
		s.Replace(all(t, checks...))
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- s.Run(ctx) }()
		var stopped bool
		stop := func() error { stopped = true; cancel(); return <-end }
		f(t, s, stop)
		if !stopped {
			if err := stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
		}
		cancel()
	})
}

func all(t *testing.T, checks ...*scripted) []Check {
	var all []Check
	for _, c := range checks {
		c.t = t
		all = append(all, Check{Collector: c, Timing: every10})
	}
	return all
}

// shown maps "check/subject" to "status: reason".
func shown(s *Schedule) map[string]string {
	m := map[string]string{}
	for _, r := range s.Results() {
		m[r.Check+"/"+r.Subject] = r.Status.String() + ": " + r.Reason
	}
	return m
}

func wantShown(t *testing.T, s *Schedule, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, shown(s)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

func pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

func TestPace(t *testing.T) {
	one := &scripted{name: "one", do: says(health.OK, health.OK, health.OK, health.Critical, health.Critical, health.Critical)}
	bubble(t, func(t *testing.T, s *Schedule, stop func() error) {
		start := time.Now()
		pass(31 * time.Second)
		wantShown(t, s, map[string]string{"one/a": "critical: a is critical"})
		if err := stop(); err != nil {
			t.Error(err)
		}
		var got []string
		for _, at := range one.starts {
			got = append(got, at.Sub(start).String())
		}
		// The second run shifts the phase; the one after the first bad word
		// comes after a third of the interval.
		want := "0s 5s 15s 25s 28.333333333s"
		if g := strings.Join(got, " "); g != want {
			t.Errorf("started at %s, want %s", g, want)
		}
		if one.closed.Load() != 1 {
			t.Errorf("closed %d times, want once", one.closed.Load())
		}
	}, one)
}

func TestChangedSignals(t *testing.T) {
	one := &scripted{name: "one", do: says(health.OK, health.Critical, health.OK, health.OK, health.Critical)}
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		changes := func() (n int) {
			for {
				select {
				case <-s.Changed():
					n++
				default:
					return n
				}
			}
		}
		pass(time.Second)
		if changes() != 1 || !s.FirstRound() {
			t.Error("the first verdict was not signalled")
		}
		pass(20 * time.Second)
		if n := changes(); n != 0 {
			t.Errorf("%d signals for a flap that was never shown", n)
		}
		pass(20 * time.Second)
		if changes() != 1 {
			t.Error("no signal for the confirmed verdict")
		}
	}, one)
}

func TestPanicIsAVerdict(t *testing.T) {
	one := &scripted{name: "one", do: func(_ context.Context, n int, r *collectors.Report) error {
		r.Verdict("a", health.OK, "fine", health.Evidence{})
		if n == 2 {
			panic("out of fuses")
		}
		r.Verdict("b", health.OK, "fine", health.Evidence{})
		return nil
	}}
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		pass(6 * time.Second)
		wantShown(t, s, map[string]string{
			"one/a":   "ok: fine",
			"one/b":   "ok: fine; not confirmed yet, run 1 of 2 saw unknown: not seen by the last run: check panicked: out of fuses",
			"one/run": "unknown: check panicked: out of fuses",
		})
		pass(10 * time.Second)
		wantShown(t, s, map[string]string{"one/a": "ok: fine", "one/b": "ok: fine"})
	}, one)
}

func TestGoexitIsAVerdict(t *testing.T) {
	one := &scripted{name: "one", do: func(context.Context, int, *collectors.Report) error { runtime.Goexit(); return nil }}
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		pass(time.Second)
		wantShown(t, s, map[string]string{"one/run": "unknown: check ended its goroutine instead of returning"})
	}, one)
}

func TestErrorIsAVerdict(t *testing.T) {
	one := &scripted{name: "one", do: func(ctx context.Context, n int, r *collectors.Report) error {
		if n > 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		return errors.New("no credentials")
	}}
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		pass(time.Second)
		wantShown(t, s, map[string]string{"one/run": "unknown: no credentials"})
		pass(10 * time.Second)
		wantShown(t, s, map[string]string{"one/run": "unknown: not finished within its timeout of 5s: context deadline exceeded"})
	}, one)
}

func TestSlowCheckIsCutShort(t *testing.T) {
	one := &scripted{name: "one", do: func(ctx context.Context, n int, r *collectors.Report) error {
		r.Verdict("a", health.OK, "fine", health.Evidence{})
		if n > 1 {
			<-ctx.Done() // and keeps what it has, without an error
			return nil
		}
		r.Verdict("b", health.OK, "fine", health.Evidence{})
		return nil
	}}
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		pass(31 * time.Second)
		wantShown(t, s, map[string]string{"one/a": "ok: fine", "one/b": "unknown: not seen by the last run: its time was up"})
	}, one)
}

func TestSubjectThatHasGoneIsDropped(t *testing.T) {
	one := &scripted{name: "one", do: func(_ context.Context, n int, r *collectors.Report) error {
		if n == 1 {
			r.Verdict("gone", health.OK, "", health.Evidence{})
		}
		r.Verdict("twice", health.Warning, "bad", health.Evidence{})
		r.Verdict("twice", health.OK, "good", health.Evidence{})
		return nil
	}}
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		pass(time.Second)
		wantShown(t, s, map[string]string{"one/gone": "ok: ", "one/twice": "unknown: waiting for confirmation, run 1 of 2 saw warning: bad"})
		pass(9 * time.Second)
		wantShown(t, s, map[string]string{"one/twice": "warning: bad"})
	}, one)
}

// What a run has not looked at stands as the last one has left it: it counts as
// no further look, and is as old as it is.
func TestSubjectThatStands(t *testing.T) {
	one := &scripted{name: "one", do: func(_ context.Context, n int, r *collectors.Report) error {
		r.Stands("never seen")
		if n == 1 || n == 3 || n == 5 {
			r.Verdict("a", health.Critical, fmt.Sprintf("bad in run %d", n), health.Evidence{})
			return nil
		}
		r.Stands("a")
		return nil
	}}
	bubble(t, func(t *testing.T, s *Schedule, _ func() error) {
		pass(time.Second)
		first := s.Results()[0].Observed
		wantShown(t, s, map[string]string{"one/a": "unknown: waiting for confirmation, run 1 of 2 saw critical: bad in run 1"})
		for one.runs.Load() < 2 {
			pass(time.Second)
		}
		wantShown(t, s, map[string]string{"one/a": "unknown: waiting for confirmation, run 1 of 2 saw critical: bad in run 1"})
		if again := s.Results()[0].Observed; !again.Equal(first) {
			t.Errorf("observed at %v by a run that has not looked at it, before it was %v", again, first)
		}
		for one.runs.Load() < 4 {
			pass(time.Second)
		}
		wantShown(t, s, map[string]string{"one/a": "critical: bad in run 3"})
	}, one)
}

func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := New(Config{Logger: log.NewNopLogger(), Random: func() float64 { return 0 }})
		bad := &scripted{name: "one", do: says(health.Critical)}
		off := &scripted{name: "two", do: says(health.OK)}
		s.Replace(all(t, bad, off))
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- s.Run(ctx) }()
		pass(4 * time.Second)
		since := s.Results()[0].Since

		next := &scripted{name: "one", do: func(_ context.Context, n int, r *collectors.Report) error {
			r.Verdict("a", health.Critical, "still", health.Evidence{})
			if n == 2 {
				<-release
			}
			return nil
		}}
		s.Replace(all(t, next))
		pass(time.Second)
		wantShown(t, s, map[string]string{"one/a": "critical: still"})
		if got := s.Results()[0].Since; !got.Equal(since) {
			t.Errorf("a reload moved Since from %v to %v", since, got)
		}
		if bad.closed.Load() != 1 || off.closed.Load() != 1 {
			t.Error("replaced collectors were not closed")
		}
		pass(5 * time.Second) // the second run of next hangs
		third := &scripted{name: "one", do: says(health.OK)}
		s.Replace(all(t, third))
		pass(60 * time.Second)
		if third.runs.Load() != 0 {
			t.Error("a run started while one of the earlier configuration hangs")
		}
		if got := shown(s)["one/a"]; !strings.HasPrefix(got, "unknown: ") {
			t.Errorf("while the old run hangs a is %q, want unknown", got)
		}
		close(release)
		pass(12 * time.Second)
		wantShown(t, s, map[string]string{"one/a": "ok: a is ok"})
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hang := &scripted{name: "two", do: func(_ context.Context, _ int, r *collectors.Report) error {
			r.Verdict("b", health.Warning, "slow", health.Evidence{})
			<-release
			return nil
		}}
		begin := time.Now()
		results := Once(t.Context(), all(t, &scripted{name: "one", do: says(health.Critical)}, hang), log.NewNopLogger())
		if took := time.Since(begin); took != 6*time.Second {
			t.Errorf("took %v, want timeout and a second", took)
		}
		var got []string
		for _, r := range results {
			got = append(got, r.Check+"/"+r.Subject+" "+r.Status.String())
		}
		if diff := cmp.Diff([]string{"one/a critical", "two/b warning", "two/run unknown"}, got); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
		close(release)
	})
}
