package collectors

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// TestDiskFilling watches 100 GiB for minutes that the test makes up.
func TestDiskFilling(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	steady := func(from, perMinute float64) func(int) float64 {
		return func(minute int) float64 { return from - perMinute*float64(minute) }
	}
	for name, c := range map[string]struct {
		left    func(minute int) float64 // GiB
		minutes int
		status  health.Status
		words   string  // of the reason
		seconds float64 // to full; -1: not told
	}{
		"seen for too short a time":  {steady(38, 0.2), 30, health.OK, "", 9600},
		"seen for long enough":       {steady(38, 0.2), 50, health.Warning, "will be full in 2.3 hours at the pace of the last 50 minutes, 28 GiB are left", 8400},
		"soon, and not much left":    {steady(19, 0.2), 60, health.Critical, "will be full in 35 minutes at the pace of the last ", 2100},
		"soon, but much is left":     {steady(100, 1), 20, health.OK, "", 4800},
		"since a quarter of an hour": {func(m int) float64 { return 39 - max(0, float64(m-44)) }, 60, health.Warning, "will be full in 23 minutes at the pace of the last 15 minutes", 23 * 60},
		"only just begun to look":    {steady(30, 1), 9, health.OK, "", -1},
		"for days on end":            {steady(30, 0.01), 60, health.OK, "", 176400},
		"not at all":                 {steady(30, 0), 60, health.OK, "", math.Inf(1)},
		"becoming empty":             {steady(30, -0.1), 60, health.OK, "", math.Inf(1)},
		"logs, cut every five":       {func(m int) float64 { return 38 - float64(m%5) }, 60, health.OK, "", math.Inf(1)},
		"steady, with files thrown":  {func(m int) float64 { return 38 - 0.3*float64(m) + 5*boolean(m%15 == 7) }, 60, health.Warning, "will be full in ", 20 / 0.3 * 60},
	} {
		t.Run(name, func(t *testing.T) {
			s := defaultDiskSettings()
			s.Thresholds.Usage = Limits{}
			check := newCheck(t, s).(*diskCheck)
			fs := &fileSystem{mount: mount{point: "/data", device: "/dev/sdb1", fsType: "ext4"}}
			h := &diskHistory{}
			start := time.Now()
			var r *Report
			var a *assessment
			for second := 0; second <= 60*c.minutes; second += 10 {
				u := &diskUsage{total: 100 * gib, available: c.left(second/60) * gib, free: c.left(second/60) * gib}
				r, a = NewReport(time.Now), &assessment{about: fs.about()}
				check.judgeUsage(r, a, fs, h, u, false, start.Add(time.Duration(second)*time.Second))
			}
			a.verdict(r, fs.point)
			samples, results := r.Take()
			if results[0].Status != c.status || !strings.Contains(results[0].Reason, c.words) {
				t.Errorf("%v: %s", results[0].Status, results[0].Reason)
			}
			got := -1.0
			for _, s := range samples {
				if s.Metric == &diskTimeToFull {
					got = s.Value
				}
			}
			if got != c.seconds && math.Abs(got-c.seconds) > 0.1*c.seconds {
				t.Errorf("full in %v s, not %v", got, c.seconds)
			}
			if len(h.filling.seen) > 61 {
				t.Errorf("remembers %d", len(h.filling.seen))
			}
		})
	}
}

// TestFillingByOneFile has a large file come in any minute of the last hour.
func TestFillingByOneFile(t *testing.T) {
	t.Parallel()
	for came := range 61 {
		var f diskFilling
		start := time.Now()
		for minute := range 61 {
			f.add(start.Add(time.Duration(minute)*time.Minute), 100, 35-20*boolean(minute >= came))
			if status, _ := f.judge(defaultDiskSettings().Thresholds.TimeToFull, 0.85); status != health.OK {
				t.Fatalf("it came in minute %d, in minute %d: full in %v s", came, minute, f.left)
			}
		}
	}
}

func TestFillingOfAnotherSize(t *testing.T) {
	t.Parallel()
	var f diskFilling
	now := time.Now()
	for minute := range 60 {
		f.add(now.Add(time.Duration(minute)*time.Minute), 100, float64(60-minute))
	}
	if f.left != 60 || f.over == 0 {
		t.Errorf("full in %v, %v", f.left, f.over)
	}
	f.add(now.Add(time.Hour), 200, 100)
	if f.over != 0 || len(f.seen) != 1 {
		t.Error("it remembers the smaller one")
	}
}

func TestRising(t *testing.T) {
	t.Parallel()
	var r rising
	start := time.Now()
	for _, step := range []struct{ minute, value, want float64 }{
		{0, 100, 0}, {1, 103, 3}, {5, 103, 3}, {10, 104, 4}, {11, 104, 1}, {20, 104, 0}, {21, 110, 6}, {22, 2, 0}, {23, 5, 3},
	} {
		if got := r.add(start.Add(time.Duration(step.minute)*time.Minute), step.value, 10*time.Minute); got != step.want {
			t.Errorf("minute %v: rose by %v, not %v", step.minute, got, step.want)
		}
	}
	for range 10 * maxCounts {
		r.add(start, 5, time.Hour)
	}
	if len(r.seen) > maxCounts {
		t.Errorf("remembers %d", len(r.seen))
	}
}
