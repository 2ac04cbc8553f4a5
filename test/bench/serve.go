package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/grapevine-mesh/grapevine/internal/exposition"
	"github.com/grapevine-mesh/grapevine/internal/heap"
	"github.com/grapevine-mesh/grapevine/internal/web"
	"github.com/grapevine-mesh/grapevine/test/bench/fleet"
)

// changePath, asked by POST, gives every node of a fleet a new snapshot.
const changePath = "/change"

// serveOptions are the flags of the commands serve and peer.
type serveOptions struct {
	shape    fleet.Shape
	listen   string
	interval time.Duration // of each node's snapshots; 0: they are made on demand only
}

func (o *serveOptions) flags(cmd *kingpin.CmdClause) {
	cmd.Flag("nodes", "Nodes in the cluster.").Default("1000").IntVar(&o.shape.Nodes)
	cmd.Flag("series", "Series of each node, counted as samples.").Default("100").IntVar(&o.shape.Series)
	cmd.Flag("own-series", "Ratio of a node's series whose subject no other node has; 0: all nodes have the same series.").
		Default("0.2").Float64Var(&o.shape.Own)
	cmd.Flag("listen", "Where to answer.").Default("127.0.0.1:0").StringVar(&o.listen)
	cmd.Flag("change-interval", "How often each node has new values, the nodes one after the other; 0s: only on POST "+changePath+", all at once.").
		Default("15s").DurationVar(&o.interval)
	cmd.Validate(func(*kingpin.CmdClause) error {
		if o.interval < 0 {
			return errors.New("--change-interval is 0s or more")
		}
		return o.shape.Validate()
	})
}

// serveCommand answers for a cluster as an agent does.
func serveCommand(app *kingpin.Application, actions map[string]action) {
	var o serveOptions
	cmd := app.Command("serve", "Serve the metrics of a cluster that nobody runs, as an agent does, for a Prometheus or by hand.")
	o.flags(cmd)
	actions[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) error {
		defer heap.Bound()() // as grapevine agent does
		return o.serve(ctx, stdout, stderr, agentHandler)
	}
}

// peerCommand shows the same as serveCommand by the client library alone.
func peerCommand(app *kingpin.Application, actions map[string]action) {
	var o serveOptions
	cmd := app.Command("peer", "Serve the same by a plain collector of client_golang, for bench scrape.").Hidden()
	o.flags(cmd)
	actions[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) error {
		return o.serve(ctx, stdout, stderr, clientHandler)
	}
}

// agentHandler is the handler of an agent whose mesh is f.
func agentHandler(f *fleet.Fleet, logger log.Logger) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return web.New(web.Config{
		Node: f.View().Self, Version: "bench",
		View: f.View, Local: reg, Renderer: exposition.New(reg), MaxRequests: 40, // an agent's default
		Ready:  func() error { return nil },
		Reload: func() error { return errors.New("there is no configuration") },
		Logger: logger, Registry: reg,
	})
}

// clientHandler is what somebody writes who has nothing but the client library.
func clientHandler(f *fleet.Fleet, _ log.Logger) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCollector(f.View, true))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// serve fills a fleet and answers until ctx ends. It prints where.
func (o *serveOptions) serve(ctx context.Context, stdout, stderr io.Writer, handler func(*fleet.Fleet, log.Logger) http.Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := fleet.New(o.shape)
	mux := http.NewServeMux()
	logger := log.NewLogfmtLogger(log.NewSyncWriter(stderr))
	mux.Handle("/", handler(f, logger))
	mux.HandleFunc("POST "+changePath, func(http.ResponseWriter, *http.Request) { f.ChangeAll() })
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	fmt.Fprintf(stdout, "%shttp://%s\n", addressKey, listener.Addr())
	changing := make(chan struct{})
	go func() {
		defer close(changing)
		if o.interval > 0 {
			f.Run(ctx, o.interval)
		}
	}()
	err = web.Serve(ctx, listener, mux, "", logger)
	cancel()
	<-changing
	return err
}

// addressKey begins the line by which serve says where it answers.
const addressKey = "address="
