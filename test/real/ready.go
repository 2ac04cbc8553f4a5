package real

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// startTimeout bounds every start whose context has no nearer deadline. A
// cold API server on a busy machine is the slowest, with some 30 s.
const startTimeout = 2 * time.Minute

// awaitReady polls probe until it returns nil. It gives up when ctx ends, when
// startTimeout has passed, or when a process has ended.
func awaitReady(ctx context.Context, p *Process, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := probe(once)
		cancel()
		if err == nil && p.Running() {
			return nil
		}
		select {
		case <-p.Done():
			if portTaken(p) {
				return fmt.Errorf("%w: %w", errPortTaken, p.failure())
			}
			return p.failure()
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; last: %w; its last words:\n%s", p.command.Name, context.Cause(ctx), err, p.lastWords())
		case <-tick.C:
		}
	}
}

// answers200 asks url once. A client that keeps no connection leaves no
// goroutine behind and meets a restarted server with a fresh one.
func answers200(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if err != nil {
			return fmt.Errorf("reading %s: %w", url, err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s: %.200s", url, resp.Status, body)
		}
		return nil
	}
}

// plainClient speaks http without keep-alive.
func plainClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}
