// Bench measures what an agent costs the node it runs on, next to
// node_exporter, and what a scrape of a whole cluster costs, next to others who
// do the same job. It stands outside the line of data: agents it knows by their
// command line, their web interface and what the kernel tells of their process;
// for the scrapes it serves a View of its own by internal/web.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
)

// action runs a command until it has ended or ctx has.
type action func(ctx context.Context, stdout, stderr io.Writer) error

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the command that args name and returns the exit code. Without one
// it prints the help.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := kingpin.New("bench", "Measures what agents and scrapes cost.")
	app.UsageWriter(stdout).ErrorWriter(stderr)
	actions := map[string]action{}
	for _, register := range []func(*kingpin.Application, map[string]action){agentCommand, serveCommand, scrapeCommand, peerCommand} {
		register(app, actions)
	}
	if len(args) == 0 {
		app.Usage(nil)
		return 0
	}
	command, err := app.Parse(args)
	if err == nil {
		err = actions[command](ctx, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}
