// Demo shows Grapevine at work on one machine: a real etcd cluster and some
// agents on loopback, until Ctrl-C. It stands outside the line of data and
// knows the agent only by its command line and its web interface.
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

// convergePatience is how long the agents may take to know each other.
const convergePatience = time.Minute

type options struct {
	agents, members int
	keepDir         bool
}

func main() {
	var o options
	app := kingpin.New("demo", "Runs a real etcd cluster and Grapevine agents on loopback until Ctrl-C.")
	app.Flag("agents", "Number of agents.").Default("3").IntVar(&o.agents)
	app.Flag("etcd-members", "Number of etcd members; agent i watches member i, and round again.").Default("3").IntVar(&o.members)
	app.Flag("keep-dir", "Leave data and logs behind and say where.").BoolVar(&o.keepDir)
	kingpin.MustParse(app.Parse(os.Args[1:]))
	if o.agents < 1 || o.agents > 50 || o.members < 1 || o.members > 7 {
		app.Fatalf("--agents is 1 to 50, --etcd-members 1 to 7")
	}

	// The signals stay caught to the end, so that a second Ctrl-C cannot cut
	// the cleaning up short; every wait in there is bounded. With SIGPIPE, the
	// demo also ends when whoever reads its output has gone.
	ctx, _ := signal.NotifyContext(context.Background(),
		os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run returns nil when ctx ended it after a good start, and leaves nothing
// behind in any case.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "grapevine-demo-")
	if err != nil {
		return fmt.Errorf("making a directory for the data: %w", err)
	}
	c := &cluster{dir: dir, out: out}
	defer func() {
		fmt.Fprintln(out, "\nStopping ...")
		err = errors.Join(err, c.stop())
		if o.keepDir {
			fmt.Fprintln(out, "Data and logs are in", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()

	begun := time.Now()
	if err := c.start(ctx, o); err != nil {
		return unlessInterrupted(ctx, err)
	}
	if err := c.converge(ctx); err != nil {
		return unlessInterrupted(ctx, err)
	}
	fmt.Fprintf(out, "All %d agents know all of the cluster, %.1f s after the start.\n", o.agents, time.Since(begun).Seconds())
	c.guide()
	c.watch(ctx)
	return nil
}

// unlessInterrupted drops the error of a start that the user broke off.
func unlessInterrupted(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}
