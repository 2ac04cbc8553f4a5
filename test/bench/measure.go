package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// effort bounds how long one case is measured.
type effort struct {
	runs int           // scrapes, at most
	time time.Duration // after which there are no more, if there were leastRuns
}

// leastRuns is how many scrapes a case has, however slow they are.
const leastRuns = 3

// figures are what the scrapes of one case came to.
type figures struct {
	took  []time.Duration // sorted
	cpu   float64         // seconds of processor time of the server for one scrape
	bytes int64           // of the last answer, as it came
	rss   float64         // MB, the most that was seen after a scrape
}

// measure scrapes s again and again, each time after everything has changed
// (first), or with nothing changed at all. What the server does for the change
// itself is not in the figures, nor is a first scrape that warms it up.
func (s *server) measure(ctx context.Context, client *scraper, f form, first bool, e effort) (figures, error) {
	var out figures
	if _, _, err := client.scrape(ctx, s.url, f); err != nil {
		return out, err
	}
	began := time.Now()
	from, err := s.cpu()
	if err != nil {
		return out, err
	}
	var changing time.Duration // processor time
	for len(out.took) < e.runs && (len(out.took) < leastRuns || time.Since(began) < e.time) {
		if first {
			before, err := s.cpu()
			if err != nil {
				return out, err
			}
			if err := s.change(ctx); err != nil {
				return out, fmt.Errorf("changing everything: %w", err)
			}
			after, err := s.cpu()
			if err != nil {
				return out, err
			}
			changing += after - before
		}
		took, bytes, err := client.scrape(ctx, s.url, f)
		if err != nil {
			return out, err
		}
		out.took, out.bytes = append(out.took, took), bytes
		rss, err := s.rss()
		if err != nil {
			return out, err
		}
		out.rss = max(out.rss, rss)
	}
	to, err := s.cpu()
	if err != nil {
		return out, err
	}
	out.cpu = (to - from - changing).Seconds() / float64(len(out.took))
	slices.Sort(out.took)
	return out, nil
}

// percentile is the smallest of sorted durations that at least the ratio p of
// them do not exceed. There must be one.
func percentile(sorted []time.Duration, p float64) time.Duration {
	at := int(math.Ceil(p*float64(len(sorted)))) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

func (f *figures) p50() time.Duration { return percentile(f.took, 0.5) }
func (f *figures) p99() time.Duration { return percentile(f.took, 0.99) }

// cpu is the processor time, user and system, that the server has used since
// its start. It is read from the clock of its process, since /proc counts in
// hundredths of a second and a scrape can take less.
func (s *server) cpu() (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(processClock(s.process.Pid()), &now); err != nil {
		return 0, fmt.Errorf("reading the processor time of process %d: %w", s.process.Pid(), err)
	}
	return time.Duration(now.Nano()), nil
}

// processClock is what clock_getcpuclockid(3) gives on Linux.
func processClock(pid int) int32 {
	const scheduled = 2 // exact, and not by ticks
	return int32(^pid<<3 | scheduled)
}

// rss is the server's resident memory in MB.
func (s *server) rss() (float64, error) {
	proc, err := procfs.NewProc(s.process.Pid())
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", s.process.Pid(), err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", s.process.Pid(), err)
	}
	return float64(stat.ResidentMemory()) / mb, nil
}
