package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func small() Case {
	return Case{
		Nodes: 50, Changing: 0.4, Interval: 15 * time.Second, Flush: time.Second, Repair: time.Second,
		Settle: 1500 * time.Millisecond, Measure: time.Minute, Seed: 7,
	}
}

// The bench's own books balance: nothing is lost or counted twice where
// nothing gets lost.
func TestAccounting(t *testing.T) {
	t.Parallel()
	c := small()
	f, recorded := simulate(c)
	if f.sent != f.received || f.sent == 0 {
		t.Errorf("%d bytes were sent and %d received", f.sent, f.received)
	}
	if f.frames != 50*4 {
		t.Errorf("%d frames of 50 nodes in a minute", f.frames)
	}
	if want := f.frames * 49; f.samples != want || f.late != 0 || f.behind != 0 {
		t.Errorf("%d frames arrived, %d of them late, and %d nodes are behind; want %d, 0, 0", f.samples, f.late, f.behind, want)
	}
	var counted int64
	for _, n := range f.staleness {
		counted += n
	}
	if counted != f.samples {
		t.Errorf("%d of %d arrivals are in the histogram", counted, f.samples)
	}
	if ratio := f.perSecond(f.sent) / f.lowerBound(); ratio < 1 || ratio > 2 {
		t.Errorf("%.2f times the lower bound", ratio)
	}
	if f.percentile(0.5) > f.percentile(0.99) || f.stalest > warmUp {
		t.Errorf("half within %vs, 99%% within %vs, all within %v", f.percentile(0.5), f.percentile(0.99), f.stalest)
	}
	again, _ := simulate(c)
	if f.String() != again.String() {
		t.Errorf("the same seed gives\n%v\n%v", f, again)
	}
	cost, err := replay(recorded)
	if err != nil || cost.cpu == 0 || cost.state < 10_000 {
		t.Errorf("a node costs %v: %v", cost, err)
	}
	line := fmt.Sprint(f, " ", cost)
	for _, key := range []string{
		"nodes=50", " loss=0", " dead=0", " out_bytes_per_s=", " in_bytes_per_s=", " lower_bound_bytes_per_s=", " ratio=", " copies=1.0",
		" staleness_p50_s=", " staleness_p99_s=", " staleness_max_s=", " cpu_core_percent=", " state_mb=",
	} {
		if !strings.Contains(line, key) {
			t.Errorf("no %s in %s", key, line)
		}
	}
}

// Faults cost what they are made to cost, and are repaired.
func TestFaults(t *testing.T) {
	t.Parallel()
	c := small()
	c.Loss, c.Dead = 0.05, 0.1
	f, _ := simulate(c)
	if len(f.living) != 45 {
		t.Errorf("%d of 50 nodes live", len(f.living))
	}
	if f.received >= f.sent {
		t.Errorf("%d bytes were sent and %d received, although some are lost", f.sent, f.received)
	}
	if f.samples != f.frames*44 || f.behind != 0 {
		t.Errorf("%d arrivals of %d frames at 44 others, %d are behind", f.samples, f.frames, f.behind)
	}
	if f.stalest < 2*time.Second {
		t.Errorf("nothing took longer than %v: what was lost?", f.stalest)
	}
	c.Repair = time.Hour
	if never, _ := simulate(c); never.late == 0 {
		t.Error("without repair, everything arrives nevertheless")
	}
}

// A peer that has vanished takes what is written to it for a while, then is
// left alone for longer and longer.
func TestLink(t *testing.T) {
	t.Parallel()
	var l link
	if !l.reachable(0) || !l.write(0) || !l.write(9*time.Second) {
		t.Error("it is noticed before the kernel gives up")
	}
	if l.write(11*time.Second) || !l.reachable(12*time.Second) || l.reachable(15*time.Second) {
		t.Error("it takes other than 3s to see that it is not there")
	}
	if !l.reachable(19 * time.Second) {
		t.Error("it is not tried again after 5s")
	}
	if l.write(19*time.Second) || l.reachable(31*time.Second) || !l.reachable(32*time.Second) {
		t.Error("after the second failure it is left alone for other than 10s")
	}
	if (&link{sent: true, broken: 3}).ask(4) || !(&link{}).ask(4) {
		t.Error("a digest goes where no connection is, or not where one seems to be")
	}
}
