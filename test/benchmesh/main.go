// Command benchmesh measures how frames spread among thousands of nodes: the
// real stores, layouts and messages in virtual time, on a membership that
// everybody knows. It prints a line of key=value pairs a case.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

func main() {
	app := kingpin.New("benchmesh", "Measure how frames spread among thousands of nodes, in virtual time.")
	var c Case
	app.Flag("nodes", "Nodes of the one case to run; 0: all cases.").Default("0").IntVar(&c.Nodes)
	app.Flag("loss", "Probability that a message is lost.").Default("0").Float64Var(&c.Loss)
	app.Flag("dead", "Share of the nodes that die, unannounced, when the measurement begins.").Default("0").Float64Var(&c.Dead)
	app.Flag("changing", "Share of the values that change from frame to frame.").Default("0.4").Float64Var(&c.Changing)
	// The paces are those of packages agent and mesh.
	app.Flag("interval", "Time between two frames of a node.").Default("15s").DurationVar(&c.Interval)
	app.Flag("flush", "Pace of relays.").Default("1s").DurationVar(&c.Flush)
	app.Flag("repair", "Pace of anti-entropy.").Default("1s").DurationVar(&c.Repair)
	app.Flag("settle", "How long a frame is taken to be on its way.").Default("1500ms").DurationVar(&c.Settle)
	app.Flag("measure", "How long to measure, in virtual time.").Default("60s").DurationVar(&c.Measure)
	app.Flag("seed", "Of all that is random.").Default("1").Uint64Var(&c.Seed)
	kingpin.MustParse(app.Parse(os.Args[1:]))
	for _, c := range cases(c) {
		if err := bench(c); err != nil {
			fmt.Fprintln(os.Stderr, "benchmesh:", err)
			os.Exit(1)
		}
	}
}

// cases are the one that was asked for, or all.
func cases(c Case) []Case {
	if c.Nodes > 0 {
		return []Case{c}
	}
	var all []Case
	for _, n := range []int{8, 50, 200, 1000, 5000} {
		c.Nodes, c.Loss, c.Dead = n, 0, 0
		all = append(all, c)
		c.Loss, c.Dead = 0.02, 0.02
		all = append(all, c)
	}
	return all
}

// bench runs a case and prints its line.
func bench(c Case) error {
	began := time.Now()
	// Thousands of stores are gigabytes that live until the end of the case.
	percent := debug.SetGCPercent(30)
	spread, recorder := simulate(c)
	debug.SetGCPercent(percent)
	cost, err := replay(recorder)
	if err != nil {
		return err
	}
	fmt.Printf("%v %v %s run_s=%.0f\n", spread, cost, spread.particulars(), time.Since(began).Seconds())
	return nil
}
