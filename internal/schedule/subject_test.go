package schedule

import (
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

func TestSubject(t *testing.T) {
	const (
		ok   = health.OK
		warn = health.Warning
		crit = health.Critical
		unk  = health.Unknown
	)
	tests := []struct {
		name             string
		failure, success int
		saw, shown       []health.Status
	}{
		{"a first OK is shown at once", 3, 2, []health.Status{ok}, []health.Status{ok}},
		{"a first Unknown is shown at once", 3, 2, []health.Status{unk}, []health.Status{unk}},
		{"a first bad word waits as Unknown", 2, 2, []health.Status{crit, crit}, []health.Status{unk, crit}},
		{"threshold 1 waits for nothing", 1, 1, []health.Status{crit, ok, warn}, []health.Status{crit, ok, warn}},
		{"one bad run is not shown", 3, 2, []health.Status{ok, crit, ok, crit, crit, ok}, []health.Status{ok, ok, ok, ok, ok, ok}},
		{"bad after the threshold", 3, 2, []health.Status{ok, crit, crit, crit}, []health.Status{ok, ok, ok, crit}},
		{"good after the threshold", 2, 3, []health.Status{ok, crit, crit, ok, ok, ok}, []health.Status{ok, ok, crit, crit, crit, ok}},
		{"one good run is not shown", 1, 2, []health.Status{crit, ok, crit, ok, crit}, []health.Status{crit, crit, crit, crit, crit}},
		{"wavering between bad and worse is bad", 3, 2, []health.Status{ok, crit, warn, crit, warn}, []health.Status{ok, ok, ok, warn, warn}},
		{"bad becomes worse", 2, 2, []health.Status{ok, warn, warn, crit, crit}, []health.Status{ok, ok, warn, warn, crit}},
		{"worse runs count from the first", 3, 2, []health.Status{ok, warn, crit, crit, crit}, []health.Status{ok, ok, ok, warn, crit}},
		{"not known is worse than OK", 2, 2, []health.Status{ok, unk, unk}, []health.Status{ok, ok, unk}},
		{"not known does not end a bad word at once", 2, 2, []health.Status{crit, crit, unk, unk, ok, ok}, []health.Status{unk, crit, crit, unk, unk, ok}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			timing := collectors.Timing{FailureThreshold: tc.failure, SuccessThreshold: tc.success}
			start := time.Unix(1000, 0)
			var s subject
			since := start
			for i, saw := range tc.saw {
				now := start.Add(time.Duration(i) * time.Second)
				before := s.shown.Status
				changed := s.observe(health.Result{Subject: "a", Status: saw, Reason: "is " + saw.String(), Observed: now}, timing, now)
				if s.shown.Status != tc.shown[i] {
					t.Fatalf("run %d saw %v: shown %v, want %v (%s)", i+1, saw, s.shown.Status, tc.shown[i], s.shown.Reason)
				}
				if want := i == 0 || before != s.shown.Status; changed != want {
					t.Errorf("run %d: changed = %v, want %v", i+1, changed, want)
				}
				if changed {
					since = now
				}
				if !s.shown.Since.Equal(since) || !s.shown.Observed.Equal(now) {
					t.Errorf("run %d: since %v observed %v, want %v and %v", i+1, s.shown.Since, s.shown.Observed, since, now)
				}
			}
		})
	}
}

func TestReasonFitsStatus(t *testing.T) {
	timing := collectors.Timing{FailureThreshold: 2, SuccessThreshold: 2}
	now := time.Unix(1000, 0)
	var s subject
	for _, step := range []struct {
		status       health.Status
		reason, want string
	}{
		{health.Critical, "sda is slow", "waiting for confirmation, run 1 of 2 saw critical: sda is slow"},
		{health.Critical, "sda is very slow", "sda is very slow"},
		{health.OK, "", "sda is very slow; not confirmed yet, run 1 of 2 saw ok"},
		{health.Critical, "sda is slow again", "sda is slow again"},
		{health.OK, "sda is fast", "sda is slow again; not confirmed yet, run 1 of 2 saw ok: sda is fast"},
		{health.OK, "", ""},
		{health.Warning, "sda is full", "not confirmed yet, run 1 of 2 saw warning: sda is full"},
	} {
		s.observe(health.Result{Status: step.status, Reason: step.reason, Observed: now}, timing, now)
		if s.shown.Reason != step.want {
			t.Errorf("after %v %q: reason %q, want %q", step.status, step.reason, s.shown.Reason, step.want)
		}
	}
}
