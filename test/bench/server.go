package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/test/bench/fleet"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// server is one of the programs that are compared, while it runs.
type server struct {
	process *real.Process
	url     string       // of the scrape
	fleet   *fleet.Fleet // what it shows
	// change gives every node a new snapshot, and returns when an answer shows
	// them.
	change func(context.Context) error
	stops  []func() error // called from the last to the first
	// swallowed are the times, in seconds, that a Prometheus took for its own
	// scrapes of us; for federate alone.
	swallowed []float64
}

// stop ends everything that belongs to the server.
func (s *server) stop() error {
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i]())
	}
	return errors.Join(errs...)
}

// starters start the programs, by the names in --peers.
var starters = map[string]func(*server, context.Context, fleet.Shape) error{
	"grapevine":     func(s *server, ctx context.Context, shape fleet.Shape) error { return s.startSelf(ctx, "serve", shape) },
	"client_golang": func(s *server, ctx context.Context, shape fleet.Shape) error { return s.startSelf(ctx, "peer", shape) },
	"pushgateway":   (*server).startPushgateway,
	"federate":      (*server).startFederate,
}

// startServer starts the program of that name, filled.
func startServer(ctx context.Context, name string, shape fleet.Shape) (*server, error) {
	s := &server{fleet: fleet.New(shape)}
	if err := starters[name](s, ctx, shape); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), s.stop())
	}
	return s, nil
}

// startTime is how long a program of ours may take until it answers.
const startTime = time.Minute

// startBench starts this program once more.
func startBench(args ...string) (*real.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	p := real.NewProcess(real.Command{Name: "bench " + args[0], Path: self, Args: args})
	return p, p.Start()
}

// startSelf starts another command of this program, which answers for a fleet.
func (s *server) startSelf(ctx context.Context, command string, shape fleet.Shape) error {
	var err error
	s.process, err = startBench(command, fmt.Sprintf("--nodes=%d", shape.Nodes), fmt.Sprintf("--series=%d", shape.Series),
		fmt.Sprintf("--own-series=%v", shape.Own), "--change-interval=0s")
	if err != nil {
		return err
	}
	s.stops = append(s.stops, s.process.Stop)
	base, err := addressOf(ctx, s.process)
	if err != nil {
		return err
	}
	s.url = base + "/metrics"
	control := newScraper()
	s.stops = append(s.stops, func() error { control.close(); return nil })
	s.change = func(ctx context.Context) error {
		s.fleet.ChangeAll()
		return control.post(ctx, base+changePath)
	}
	return nil
}

// addressOf waits until p has printed where it answers.
func addressOf(ctx context.Context, p *real.Process) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		for line := range strings.Lines(p.Log()) {
			if address, ok := strings.CutPrefix(line, addressKey); ok && strings.HasSuffix(address, "\n") {
				return strings.TrimSpace(address), nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("it does not say where it answers: %w", ctx.Err())
		case <-p.Done():
			return "", fmt.Errorf("it ended:\n%s", p.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
