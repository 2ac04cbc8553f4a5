package collectors

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"github.com/grapevine-mesh/grapevine/health"
)

// pressure judges how long tasks wait for memory, disks and processors. A
// kernel that does not tell is not measured, which is no fault of the node.
func (c *systemCheck) pressure(r *Report) {
	t := c.settings.Thresholds
	for _, resource := range []struct {
		name, share, waited string
		limits              Limits
	}{
		{"memory", "full", "all tasks waited for memory", t.MemoryPressure},
		{"io", "full", "all tasks waited for disks", t.IOPressure},
		{"cpu", "some", "some tasks waited for a processor", t.CPUPressure},
	} {
		subject := resource.name + " pressure"
		stats, err := c.proc.PSIStatsForResource(resource.name)
		r.Sample(&systemPressureUp, boolean(err == nil), resource.name)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EOPNOTSUPP):
			continue
		case err != nil:
			unreadable(r, subject, err)
			continue
		}
		lines := map[string]*procfs.PSILine{"some": stats.Some, "full": stats.Full}
		for share, line := range lines {
			if line != nil {
				r.Sample(&systemPressure, line.Avg60/100, resource.name, share)
				r.Sample(&systemStalled, float64(line.Total)/1e6, resource.name, share)
			}
		}
		if line := lines[resource.share]; line != nil {
			ratio := line.Avg60 / 100
			a := filling(ratio, resource.limits)
			a.hold(ratio, resource.limits, "ratio", "is short of %s: %s %s of the last minute", resource.name, resource.waited, percent(ratio))
			a.verdict(r, subject)
		}
	}
}

// oomHistory remembers when the kernel's counter of OOM kills rose.
type oomHistory struct {
	known bool
	count float64
	rises []oomRise
}

type oomRise struct {
	at    time.Time
	kills float64
}

// within takes in the counter as it is now and returns the kills of the last
// window. What was killed before the first look is not news.
func (h *oomHistory) within(count float64, now time.Time, window time.Duration) float64 {
	if h.known && count > h.count {
		h.rises = append(h.rises, oomRise{now, count - h.count})
	}
	h.known, h.count = true, count
	kills := 0.0
	young := h.rises[:0]
	for _, rise := range h.rises {
		if now.Sub(rise.at) < window {
			young = append(young, rise)
			kills += rise.kills
		}
	}
	h.rises = young
	return kills
}

// oomKills judges the processes that were killed of late.
func (c *systemCheck) oomKills(r *Report, now time.Time) {
	const subject = "OOM kills"
	count, err := vmstat(filepath.Join(c.paths.Proc, "vmstat"), "oom_kill")
	if err != nil {
		unreadable(r, subject, err)
		return
	}
	r.Sample(&systemOOM, count)
	kills := c.oom.within(count, now, c.settings.OOMWindow)
	limits := c.settings.Thresholds.OOMKills
	_, limit := limits.judge(0)
	a := &assessment{about: "the kernel", measured: health.Evidence{Value: kills, Threshold: limit, Unit: "kills"}}
	a.hold(kills, limits, "kills", "killed %.0f processes for want of memory, of the node or of a container, in the last %v; dmesg names them", kills, c.settings.OOMWindow)
	a.verdict(r, subject)
}

// vmstat reads one line of the file "name value".
func vmstat(path, name string) (float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("%s has no line %s", path, name)
}
