package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/agent"
	"github.com/grapevine-mesh/grapevine/internal/config"
	"github.com/grapevine-mesh/grapevine/internal/logging"
	"github.com/grapevine-mesh/grapevine/internal/schedule"
	"github.com/grapevine-mesh/grapevine/internal/web"
)

// checkRun is what check found.
type checkRun struct {
	Status  health.Status `json:"status"`
	Results []checkResult `json:"results"`
	Off     []checkOff    `json:"off"`
}

type checkResult struct {
	Check     string        `json:"check"`
	Subject   string        `json:"subject"`
	Status    health.Status `json:"status"`
	Reason    string        `json:"reason,omitempty"`
	Value     *web.Number   `json:"value,omitempty"`
	Threshold *web.Number   `json:"threshold,omitempty"`
	Unit      string        `json:"unit,omitempty"`
}

// checkOff is a check that has nothing to look at here.
type checkOff struct {
	Check  string `json:"check"`
	Reason string `json:"reason"`
}

func checkCommand(app *kingpin.Application, actions map[string]action) {
	cmd := app.Command("check", "Run this node's checks once, without an agent. Exits 0 ok, 1 warning, 2 critical, 3 unknown.")
	var names []string
	for _, spec := range agent.Specs() {
		names = append(names, spec.Name)
	}
	var wanted []string
	cmd.Arg("name", "Checks to run: "+strings.Join(names, ", ")+". Default: all that apply to this node.").SetValue(&word{"check", names, nil, &wanted})
	configFile := cmd.Flag("config.file", "The configuration file of the agent.").String()
	storagePath := cmd.Flag("storage.path", "The agent's storage: its file system is checked too, if it is there.").Default("/var/lib/grapevine").String()
	explained := cmd.Flag("explain", "Do not run: print what the checks measure, why it matters and what to do.").Bool()
	var paths collectors.Paths
	pathFlags(cmd, &paths)
	nodeName := cmd.Flag("node.name", "This node's name.").Default(hostname()).String()
	var logLevel, output string
	oneOf(cmd.Flag("log.level", "Lowest level to log to stderr: "+strings.Join(logging.Levels, ", ")+"."), []string{"warn", "debug", "info", "error"}, &logLevel)
	outputFlag(cmd, &output)
	actions[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) (int, error) {
		cfg, err := config.Load(*configFile, agent.Specs())
		if err != nil {
			return 0, err
		}
		if *explained {
			return 0, explain(stdout, wanted, cfg.Checks, output)
		}
		logger, err := logging.New(stderr, logLevel, logging.Formats[0])
		if err != nil {
			return 0, err
		}
		logging.TakeStandard(logger)
		env := collectors.Env{Node: *nodeName, Paths: paths, Logger: logger, Registry: prometheus.NewRegistry()}
		if _, err := os.Stat(*storagePath); err == nil {
			env.StoragePath = *storagePath
		}
		run := checkRun{Off: []checkOff{}}
		var checks []schedule.Check
		for _, spec := range agent.Specs() {
			if len(wanted) > 0 && !slices.Contains(wanted, spec.Name) {
				continue
			}
			settings := cfg.Checks[spec.Name]
			collector, err := settings.New(env)
			switch {
			case err == nil:
				checks = append(checks, schedule.Check{Collector: collector, Timing: settings.Schedule()})
			case errors.Is(err, collectors.ErrAbsent):
				run.Off = append(run.Off, checkOff{spec.Name, err.Error()})
			default:
				return 0, fmt.Errorf("%s: %w", spec.Name, err)
			}
		}
		run.add(schedule.Once(ctx, checks, logger))
		// Whoever asks for a check by name wants to know of that one.
		if len(wanted) > 0 && len(run.Off) > 0 && health.Unknown.WorseThan(run.Status) {
			run.Status = health.Unknown
		}
		if output == "json" {
			return exitCode(run.Status), printJSON(stdout, run)
		}
		return exitCode(run.Status), run.print(stdout)
	}
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

func (run *checkRun) add(results []health.Result) {
	run.Status = health.Worst(results)
	run.Results = []checkResult{}
	for _, r := range results {
		result := checkResult{Check: r.Check, Subject: r.Subject, Status: r.Status, Reason: r.Reason, Unit: r.Evidence.Unit}
		if r.Evidence.Unit != "" {
			value, threshold := web.Number(r.Evidence.Value), web.Number(r.Evidence.Threshold)
			result.Value, result.Threshold = &value, &threshold
		}
		run.Results = append(run.Results, result)
	}
}

// headline is the one line that a monitoring system shows of its plugins.
func (run *checkRun) headline() string {
	worst := slices.DeleteFunc(slices.Clone(run.Results), func(r checkResult) bool { return r.Status != run.Status })
	switch {
	case run.Status == health.OK:
		return fmt.Sprintf("OK - %d verdicts", len(run.Results))
	case len(worst) == 0:
		return shout(run.Status) + " - nothing to look at"
	case len(worst) == 1:
		return fmt.Sprintf("%s - %s: %s", shout(run.Status), worst[0].Check, worst[0].Reason)
	}
	return fmt.Sprintf("%s - %s: %s (and %d more)", shout(run.Status), worst[0].Check, worst[0].Reason, len(worst)-1)
}

func (run *checkRun) print(w io.Writer) error {
	t := table(w)
	_, _ = fmt.Fprintf(t, "%s\n\n", run.headline())
	_, _ = fmt.Fprintln(t, "STATUS\tCHECK\tSUBJECT\tREASON")
	for _, r := range run.Results {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", shout(r.Status), r.Check, r.Subject, r.Reason)
	}
	for _, off := range run.Off {
		_, _ = fmt.Fprintf(t, "off\t%s\t\t%s\n", off.Check, off.Reason)
	}
	return t.Flush()
}
