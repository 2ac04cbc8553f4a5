package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/test/bench/fleet"
)

// scrapeOptions are the flags of the command scrape.
type scrapeOptions struct {
	nodes  []int
	series int
	own    float64
	forms  []form
	peers  []string
	effort effort
}

// scrapeCommand measures scrapes of a whole cluster through one program: ours,
// and others that do the same.
func scrapeCommand(app *kingpin.Application, actions map[string]action) {
	var o scrapeOptions
	var nodes, forms, peers string
	cmd := app.Command("scrape", "Measure scrapes of a whole cluster, beside other programs that show the same series.")
	cmd.Flag("nodes", "Sizes of the cluster.").Default("10,100,1000,5000").StringVar(&nodes)
	cmd.Flag("series", "Series of each node, counted as samples.").Default("100").IntVar(&o.series)
	cmd.Flag("own-series", "Ratio of a node's series whose subject no other node has.").Default("0.2").Float64Var(&o.own)
	cmd.Flag("format", "What to ask for: text, openmetrics or protobuf, alone or with +gzip or +zstd.").
		Default("text,text+gzip,openmetrics+gzip,protobuf,protobuf+gzip").StringVar(&forms)
	cmd.Flag("peers", "Programs to measure.").Default("pushgateway,client_golang,federate,grapevine").StringVar(&peers)
	cmd.Flag("runs", "Scrapes of each case, at most.").Default("200").IntVar(&o.effort.runs)
	cmd.Flag("time", "How long a case is measured, unless it needs more for three scrapes.").Default("5s").DurationVar(&o.effort.time)
	cmd.Validate(func(*kingpin.CmdClause) error { return o.set(nodes, forms, peers) })
	actions[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) error { return o.run(ctx, stdout, stderr) }
}

// set reads the flags that are lists.
func (o *scrapeOptions) set(nodes, forms, peers string) error {
	o.nodes, o.forms, o.peers = nil, nil, nil
	for one := range strings.SplitSeq(nodes, ",") {
		n, err := strconv.Atoi(one)
		if err != nil {
			return fmt.Errorf("--nodes: %q is not a number", one)
		}
		if err := o.shape(n).Validate(); err != nil {
			return err
		}
		o.nodes = append(o.nodes, n)
	}
	for one := range strings.SplitSeq(forms, ",") {
		f, err := formOf(one)
		if err != nil {
			return fmt.Errorf("--format: %w", err)
		}
		o.forms = append(o.forms, f)
	}
	for one := range strings.SplitSeq(peers, ",") {
		if starters[one] == nil {
			return fmt.Errorf("--peers: %q is none of %s", one, sortedKeys(starters))
		}
		o.peers = append(o.peers, one)
	}
	// Who is compared with comes first.
	slices.SortStableFunc(o.peers, func(a, b string) int {
		switch baseline {
		case a:
			return -1
		case b:
			return +1
		}
		return 0
	})
	if o.effort.runs < leastRuns || o.effort.time < 0 {
		return fmt.Errorf("--runs is %d or more, --time 0s or more", leastRuns)
	}
	return nil
}

func (o *scrapeOptions) shape(nodes int) fleet.Shape {
	return fleet.Shape{Nodes: nodes, Series: o.series, Own: o.own}
}

// run measures every case and prints one line for each as soon as it is known,
// and at the end what of the targets is met.
func (o *scrapeOptions) run(ctx context.Context, stdout, stderr io.Writer) error {
	results := results{}
	for _, nodes := range o.nodes {
		for _, f := range o.forms {
			for _, peer := range o.peers {
				fmt.Fprintf(stderr, "%s nodes=%d %v: %s\n", time.Now().Format(time.TimeOnly), nodes, f, peer)
				if err := o.compare(ctx, peer, nodes, f, results, stdout); err != nil {
					return fmt.Errorf("%s, %d nodes, %v: %w", peer, nodes, f, err)
				}
			}
		}
	}
	for _, line := range results.targets() {
		fmt.Fprintln(stdout, line)
	}
	return nil
}

// compare measures one program, started for that alone: what it keeps of one
// form must not count for another.
func (o *scrapeOptions) compare(ctx context.Context, peer string, nodes int, f form, results results, out io.Writer) (err error) {
	s, err := startServer(ctx, peer, o.shape(nodes))
	if err != nil {
		return err
	}
	client := newScraper()
	defer func() {
		client.close()
		err = errors.Join(err, s.stop())
	}()
	if err := s.change(ctx); err != nil {
		return fmt.Errorf("filling it: %w", err)
	}
	// Whether it tells everything, and what it was told last.
	if err := client.check(ctx, s.url, f, s.fleet); err != nil {
		if other, ok := errors.AsType[unsupported](err); ok {
			fmt.Fprintf(out, "case=%s nodes=%d %v supported=false answered=%q\n", peer, nodes, f, other.contentType+" "+other.encoding)
			return nil
		}
		return err
	}
	for _, kind := range []string{first, next} {
		c := scrapeCase{peer, kind, nodes, f}
		figures, err := s.measure(ctx, client, f, kind == first, o.effort)
		if err != nil {
			return err
		}
		results[c] = figures
		fmt.Fprintln(out, results.line(c, o.shape(nodes).Samples()))
	}
	if len(s.swallowed) > 0 {
		slices.Sort(s.swallowed)
		fmt.Fprintf(out, "case=prometheus nodes=%d format=openmetrics encoding=gzip scrape_duration_ms=%.1f runs=%d samples=%d\n",
			nodes, s.swallowed[len(s.swallowed)/2]*1e3, len(s.swallowed), o.shape(nodes).Samples())
	}
	return nil
}
