package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// What the agent may use on an otherwise idle node.
const (
	targetCPU = 0.01 // of one core
	targetRSS = 60   // MB
)

// agentOptions are the flags of the command agent.
type agentOptions struct {
	duration, warmUp, interval time.Duration
	peers                      int
	agentFlags                 []string
}

// agentCommand measures what an agent costs the node it runs on, next to
// node_exporter: both scraped alike, for the same minutes, on the same machine.
func agentCommand(app *kingpin.Application, actions map[string]action) {
	var o agentOptions
	cmd := app.Command("agent", "Measure the agent's cost beside node_exporter's.")
	cmd.Flag("duration", "How long to measure.").Default("2m").DurationVar(&o.duration)
	cmd.Flag("warm-up", "How long both run before that.").Default("30s").DurationVar(&o.warmUp)
	cmd.Flag("interval", "How often both are scraped.").Default("15s").DurationVar(&o.interval)
	cmd.Flag("peers", "Agents in the mesh beside the one that is measured.").Default("2").IntVar(&o.peers)
	cmd.Flag("agent-flag", "One more flag for the agent; repeatable.").StringsVar(&o.agentFlags)
	cmd.Validate(func(*kingpin.CmdClause) error {
		if o.interval <= 0 || o.duration < o.interval || o.warmUp < 0 || o.peers < 0 || o.peers > 50 {
			return errors.New("--interval is above 0 and at most --duration, --peers is 0 to 50")
		}
		return nil
	})
	actions[cmd.FullCommand()] = func(ctx context.Context, stdout, _ io.Writer) error { return runAgent(ctx, o, stdout) }
}

// runAgent prints one line for each program and one that compares them.
func runAgent(ctx context.Context, o agentOptions, out io.Writer) (err error) {
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
