package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/grapevine-mesh/grapevine/test/bench/fleet"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// startFederate starts a Prometheus that scrapes one of ours and is asked for
// everything it has from there.
func (s *server) startFederate(ctx context.Context, shape fleet.Shape) error {
	binary, err := real.FindBinary("prometheus")
	if err != nil {
		return err
	}
	if err := s.startSelf(ctx, "serve", shape); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "grapevine-bench-")
	if err != nil {
		return fmt.Errorf("making a directory for the data: %w", err)
	}
	s.stops = append(s.stops, func() error { return os.RemoveAll(dir) })
	target, err := url.Parse(s.url)
	if err != nil {
		return err
	}
	p, err := real.StartPrometheus(ctx, real.PrometheusOptions{
		Binary: binary, Dir: dir, Config: federateConfig(target.Host, federateInterval(shape.Samples())),
		ExtraArgs: []string{"--log.level=error"},
	})
	if err != nil {
		return err
	}
	s.stops = append(s.stops, p.Stop)
	s.process, s.url = p.Process, p.URL+"/federate?match[]="+url.QueryEscape(`{__name__=~".+"}`)
	changeOurs := s.change
	s.change = func(ctx context.Context) error {
		if err := changeOurs(ctx); err != nil {
			return err
		}
		seconds, err := nextScrape(ctx, p, time.Now())
		s.swallowed = append(s.swallowed, seconds)
		return err
	}
	return nil
}

// federateInterval is how often the Prometheus scrapes: often, so that the
// bench need not wait long, and seldom enough that it has time to answer.
func federateInterval(samples int) time.Duration {
	if samples > 100_000 {
		return 15 * time.Second
	}
	return 5 * time.Second
}

func federateConfig(target string, interval time.Duration) string {
	return fmt.Sprintf("scrape_configs:\n- job_name: grapevine\n  scrape_interval: %v\n  scrape_timeout: %v\n  static_configs:\n  - targets: [%q]\n",
		interval, interval, target)
}

// nextScrape waits for a scrape that began after from and went well, and
// returns how many seconds it took.
func nextScrape(ctx context.Context, p *real.Prometheus, from time.Time) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	value := func(expr string) (float64, error) {
		v, err := p.Query(ctx, expr)
		if err != nil || len(v) != 1 {
			return 0, errors.Join(fmt.Errorf("%s has %d values", expr, len(v)), err)
		}
		return float64(v[0].Value), nil
	}
	for {
		began, err := value("timestamp(scrape_duration_seconds)")
		if err == nil && began > float64(from.UnixMilli())/1e3 {
			up, err := value("up")
			if err != nil {
				return 0, err
			}
			if up == 1 {
				return value("scrape_duration_seconds")
			}
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("no scrape by Prometheus: %w", errors.Join(ctx.Err(), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
