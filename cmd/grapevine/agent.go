package main

import (
	"context"
	"io"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-kit/log/level"
	"github.com/prometheus/common/version"

	"github.com/grapevine-mesh/grapevine/internal/agent"
	"github.com/grapevine-mesh/grapevine/internal/heap"
	"github.com/grapevine-mesh/grapevine/internal/logging"
)

const defaultStorage = "/var/lib/grapevine"

// failed is the exit code of an agent that had started.
const failed = 1

func agentCommand(app *kingpin.Application, actions map[string]action) {
	cmd := app.Command("agent", "Run on this node.")
	cfg := agent.Config{Version: programVersion()}
	cmd.Flag("node.name", "This node's name, unique in the cluster.").Default(hostname()).StringVar(&cfg.Node)
	cmd.Flag("config.file", "Checks and thresholds, as YAML. Read again on SIGHUP.").StringVar(&cfg.ConfigFile)
	cmd.Flag("storage.path", "Directory for what outlives a restart.").Default(defaultStorage).StringVar(&cfg.StoragePath)

	pathFlags(cmd, &cfg.Paths)

	cmd.Flag("web.listen-address", "Address of metrics, API and health.").Default(":9797").StringVar(&cfg.WebListen)
	cmd.Flag("web.config.file", "TLS and basic auth, in the form of the Prometheus exporters.").StringVar(&cfg.WebConfigFile)
	countOf(cmd.Flag("web.max-requests", "Scrapes that are answered at once; what is one too many gets 503. 0: any number."), 40, &cfg.WebMaxRequests)
	cmd.Flag("web.timestamps", "Say on /metrics when each sample was taken.").BoolVar(&cfg.WebTimestamps)

	cmd.Flag("mesh.bind", "Address of the gossip, TCP and UDP.").Default(":7996").StringVar(&cfg.MeshBind)
	cmd.Flag("mesh.exchange", "Address of the exchange, TCP.").Default(":7997").StringVar(&cfg.MeshExchange)
	cmd.Flag("mesh.advertise", "Host or host:port at which others reach the gossip. Default: found out.").StringVar(&cfg.MeshAdvertise)
	cmd.Flag("mesh.join", "Host or host:port of the gossip of another node; repeatable.").StringsVar(&cfg.MeshJoin)
	cmd.Flag("mesh.cluster", "Name of the cluster. Nodes of another are refused.").Default("grapevine").StringVar(&cfg.MeshCluster)
	cmd.Flag("mesh.key-file", "File with the gossip key, as grapevine keygen gossip prints it; of several lines the first is sent with, all are accepted.").StringVar(&cfg.MeshKeyFile)
	cmd.Flag("mesh.tls-ca", "Certificate authority of the mesh, PEM.").StringVar(&cfg.MeshTLS.CA)
	cmd.Flag("mesh.tls-cert", "This node's certificate, PEM; its SAN holds the node's name.").StringVar(&cfg.MeshTLS.Cert)
	cmd.Flag("mesh.tls-key", "Key of this node's certificate, PEM.").StringVar(&cfg.MeshTLS.Key)
	cmd.Flag("mesh.insecure", "Bind more than loopback without keys.").BoolVar(&cfg.MeshInsecure)
	cmd.Flag("mesh.zone", "Where this node is: each zone has aggregators of its own.").StringVar(&cfg.MeshZone)
	rateOf(cmd.Flag("mesh.byte-budget", "Bytes a second that everybody's data may cost each node, such as 128kB; above it some nodes hold all series for the others. 0: any number."), "128kB", &cfg.ByteBudget)
	spanOf(cmd.Flag("mesh.stale-after", "A silent node's series end after this long."), "2m", &cfg.StaleAfter)
	spanOf(cmd.Flag("mesh.forget-after", "A silent node is forgotten after this long."), "24h", &cfg.ForgetAfter)

	cmd.Flag("echo.listen-address", "Address at which other nodes probe the way to this one, UDP and TCP.").Default(":7998").StringVar(&cfg.EchoListen)
	spanOf(cmd.Flag("start-grace", "Bad verdicts are shown as unknown until the node has been up this long."), "1m", &cfg.StartGrace)

	switches := map[string]*collectorSwitch{}
	for _, spec := range agent.Specs() {
		s := &collectorSwitch{}
		cmd.Flag("collector."+spec.Name, "Check "+spec.Summary+". Default: if it is on this node.").IsSetByUser(&s.byHand).BoolVar(&s.on)
		switches[spec.Name] = s
	}
	cmd.Flag("collector.disable-defaults", "Run those checks only that --collector.NAME switches on.").BoolVar(&cfg.NoDefaultCollectors)
	var logLevel, logFormat string
	oneOf(cmd.Flag("log.level", "Lowest level to log: "+strings.Join(logging.Levels, ", ")+"."), logging.Levels, &logLevel)
	oneOf(cmd.Flag("log.format", "Form of the log: "+strings.Join(logging.Formats, ", ")+"."), logging.Formats, &logFormat)

	actions[cmd.FullCommand()] = func(ctx context.Context, _, stderr io.Writer) (int, error) {
		logger, err := logging.New(stderr, logLevel, logFormat)
		if err != nil {
			return 0, err
		}
		logging.TakeStandard(logger)
		cfg.Logger, cfg.Collectors = logger, map[string]bool{}
		for name, s := range switches {
			if s.byHand {
				cfg.Collectors[name] = s.on
			}
		}
		a, err := agent.New(cfg)
		if err != nil {
			return 0, err
		}
		if err := a.Listen(); err != nil {
			return 0, err
		}
		defer heap.Bound()()
		if err := a.Run(ctx); err != nil {
			level.Error(logger).Log("msg", "ended", "err", err)
			return failed, nil
		}
		return 0, nil
	}
}

// collectorSwitch is --collector.NAME or --no-collector.NAME.
type collectorSwitch struct{ on, byHand bool }

func programVersion() string {
	if version.Version == "" {
		return "0.0.0-dev"
	}
	return version.Version
}
