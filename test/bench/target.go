package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/procfs"
)

// target is a program that is scraped and measured.
type target struct {
	name, url string
	pid       int

	from    time.Time
	cpuFrom float64 // seconds of processor time used until then
	scrapes int
	bytes   int64 // of the last scrape, compressed
	cost    cost
}

// cost is what the kernel says a process has used.
type cost struct {
	seconds float64 // for which it was measured
	cpu     float64 // ratio of one core
	rss     float64 // MB, the most that was seen at a scrape
	peak    float64 // MB, the most since its start
	pss     float64 // MB; what is shared counts in part
	anon    float64 // MB that no file stands behind
}

const mb = 1e6

// String is a line of key=value.
func (t *target) String() string {
	return fmt.Sprintf("case=%s cpu_ratio=%.4f rss_mb=%.1f rss_peak_mb=%.1f pss_mb=%.1f anon_mb=%.1f seconds=%.0f scrapes=%d scrape_bytes=%d",
		t.name, t.cost.cpu, t.cost.rss, t.cost.peak, t.cost.pss, t.cost.anon, t.cost.seconds, t.scrapes, t.bytes)
}

// begin forgets what was before.
func (t *target) begin() error {
	used, err := t.cpu()
	t.from, t.cpuFrom, t.scrapes, t.cost = time.Now(), used, 0, cost{}
	return err
}

// end completes the cost.
func (t *target) end() error {
	used, err := t.cpu()
	if err != nil {
		return err
	}
	t.cost.seconds = time.Since(t.from).Seconds()
	t.cost.cpu = (used - t.cpuFrom) / t.cost.seconds
	proc, err := procfs.NewProc(t.pid)
	if err != nil {
		return t.gone(err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return t.gone(err)
	}
	maps, err := proc.ProcSMapsRollup()
	if err != nil {
		return t.gone(err)
	}
	t.cost.peak, t.cost.pss, t.cost.anon = float64(status.VmHWM)/mb, float64(maps.Pss)/mb, float64(maps.Anonymous)/mb
	return nil
}

// cpu is the processor time used since the program's start.
func (t *target) cpu() (float64, error) {
	proc, err := procfs.NewProc(t.pid)
	if err != nil {
		return 0, t.gone(err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0, t.gone(err)
	}
	t.cost.rss = max(t.cost.rss, float64(stat.ResidentMemory())/mb)
	return stat.CPUTime(), nil
}

func (t *target) gone(err error) error { return fmt.Errorf("measuring %s: %w", t.name, err) }

// scrape gets the metrics as Prometheus does.
func (t *target) scrape(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("scraping %s: %w", t.name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("scraping %s: %s", t.name, resp.Status)
	}
	if t.bytes, err = io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("scraping %s: %w", t.name, err)
	}
	t.scrapes++
	_, err = t.cpu() // notes the memory
	return err
}

// scrapeAll scrapes all targets at the interval for so long.
func scrapeAll(ctx context.Context, targets []*target, length, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for end := time.After(length); ; {
		for _, t := range targets {
			if err := t.scrape(ctx); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return nil
		case <-tick.C:
		}
	}
}
