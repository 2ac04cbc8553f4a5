// Bench measures what an agent costs the node it runs on, next to
// node_exporter: both scraped alike, for the same minutes, on the same
// machine. It stands outside the line of data and knows the agent only by its
// command line, its web interface and what the kernel tells of its process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// What the agent may use on an otherwise idle node.
const (
	targetCPU = 0.01 // of one core
	targetRSS = 60   // MB
)

type options struct {
	duration, warmUp, interval time.Duration
	peers                      int
	agentFlags                 []string
}

func main() {
	var o options
	app := kingpin.New("bench", "Measures the agent's cost beside node_exporter's.")
	app.Flag("duration", "How long to measure.").Default("2m").DurationVar(&o.duration)
	app.Flag("warm-up", "How long both run before that.").Default("30s").DurationVar(&o.warmUp)
	app.Flag("interval", "How often both are scraped.").Default("15s").DurationVar(&o.interval)
	app.Flag("peers", "Agents in the mesh beside the one that is measured.").Default("2").IntVar(&o.peers)
	app.Flag("agent-flag", "One more flag for the agent; repeatable.").StringsVar(&o.agentFlags)
	kingpin.MustParse(app.Parse(os.Args[1:]))
	if o.interval <= 0 || o.duration < o.interval || o.warmUp < 0 || o.peers < 0 || o.peers > 50 {
		app.Fatalf("--interval is above 0 and at most --duration, --peers is 0 to 50")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run prints one line for each program and one that compares them.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "grapevine-bench-")
	if err != nil {
		return fmt.Errorf("making a directory for the data: %w", err)
	}
	n := &node{dir: dir}
	defer func() { err = errors.Join(err, n.stop(), os.RemoveAll(dir)) }()
	if err := n.start(ctx, o); err != nil {
		return err
	}
	checks, err := n.checks(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "nodes=%d interval=%v checks=%s\n", o.peers+1, o.interval, checks)
	targets := []*target{
		{name: "agent", url: n.agent.URL + "/metrics", pid: n.agent.Pid()},
		{name: "node_exporter", url: n.exporterURL + "/metrics", pid: n.exporter.Pid()},
	}
	if err := scrapeAll(ctx, targets, o.warmUp, o.interval); err != nil {
		return err
	}
	for _, t := range targets {
		if err := t.begin(); err != nil {
			return err
		}
	}
	if err := scrapeAll(ctx, targets, o.duration, o.interval); err != nil {
		return err
	}
	for _, t := range targets {
		if err := t.end(); err != nil {
			return err
		}
		fmt.Fprintln(out, t)
	}
	agent, other := targets[0].cost, targets[1].cost
	fmt.Fprintf(out, "case=ratio cpu=%.2f rss=%.2f\n", agent.cpu/other.cpu, agent.rss/other.rss)
	fmt.Fprintf(out, "case=target cpu_ratio=%v cpu_met=%v rss_mb=%v rss_met=%v\n",
		targetCPU, agent.cpu < targetCPU, targetRSS, agent.rss < targetRSS)
	return nil
}
