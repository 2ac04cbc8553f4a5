package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"time"

	"github.com/prometheus/client_golang/prometheus/push"
	"golang.org/x/sync/errgroup"

	"github.com/grapevine-mesh/grapevine/mesh"
	"github.com/grapevine-mesh/grapevine/test/bench/fleet"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// pushers is how many nodes push at once.
const pushers = 4

// queueTime is what a Pushgateway gets to work off what it has accepted.
const queueTime = 500 * time.Millisecond

// startPushgateway starts a Pushgateway to which every node pushes, with nothing
// on disk. The check of all series on each push is off: it would take hours
// among 5000 nodes.
func (s *server) startPushgateway(ctx context.Context, _ fleet.Shape) error {
	binary, err := exec.LookPath("prometheus-pushgateway")
	if err != nil {
		return fmt.Errorf("%w: make bench-packages installs it, or leave it out of --peers", err)
	}
	port, err := real.FreePort()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	s.process = real.NewProcess(real.Command{Name: "pushgateway", Path: binary, Args: []string{
		"--web.listen-address=" + address, "--persistence.file=", "--push.disable-consistency-check", "--log.level=error",
	}})
	if err := s.process.Start(); err != nil {
		return err
	}
	s.stops = append(s.stops, s.process.Stop)
	client := &http.Client{Timeout: scrapeTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: pushers}}
	s.stops = append(s.stops, func() error { client.CloseIdleConnections(); return nil })
	if err := ready(ctx, client, s.process, "http://"+address+"/-/ready"); err != nil {
		return err
	}
	s.url = "http://" + address + "/metrics"
	s.change = func(ctx context.Context) error {
		s.fleet.ChangeAll()
		if err := pushAll(ctx, client, "http://"+address, s.fleet); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(queueTime):
			return nil
		}
	}
	return nil
}

// ready waits until url is answered with 200.
func ready(ctx context.Context, client *http.Client, p *real.Process, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("it does not become ready")
		case <-p.Done():
			return fmt.Errorf("it ended:\n%s", p.Log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// pushAll pushes each node's newest snapshot as a group of its own.
func pushAll(ctx context.Context, client *http.Client, url string, f *fleet.Fleet) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pushers)
	for _, n := range f.View().Nodes {
		group.Go(func() error {
			one := mesh.View{Self: n.Name, Nodes: []mesh.Node{n}}
			err := push.New(url, "grapevine").Grouping("node", n.Name).Client(client).
				Collector(newCollector(func() mesh.View { return one }, false)).PushContext(ctx)
			if err != nil {
				return fmt.Errorf("pushing %s: %w", n.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}
