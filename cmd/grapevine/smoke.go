package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/logging"
	"github.com/grapevine-mesh/grapevine/smoke"
)

func smokeCommand(app *kingpin.Application, actions map[string]action) {
	cmd := app.Command("smoke", "Have pods scheduled, let them talk, and take them away, once. Exits 0 ok, 1 warning, 2 critical, 3 unknown. Ctrl-C clears up, too.")
	s, o := smoke.Default(), smoke.Options{}
	cmd.Flag("kubeconfig", "Credentials for the API server. Default: as the check apiserver finds them.").StringVar(&s.Kubeconfig)
	cmd.Flag("namespace", "Holds the pods; made if it is missing.").Default(s.Namespace).StringVar(&s.Namespace)
	cmd.Flag("image", "Image that holds grapevine at /grapevine; smoke-image prints one.").Default(s.Image).StringVar(&s.Image)
	cmd.Flag("pull-policy", "IfNotPresent, Never or Always.").Default(s.PullPolicy).StringVar(&s.PullPolicy)
	cmd.Flag("priority-class", "Priority class of the pods. Default: the cluster's.").StringVar(&s.PriorityClass)
	cmd.Flag("node", "Node to use; repeatable. Default: any two.").StringsVar(&o.Nodes)
	cmd.Flag("dns", "Resolve the name of a service in a pod.").Default("true").BoolVar(&s.Steps.DNS)
	cmd.Flag("api", "Reach the API server from a pod.").Default("true").BoolVar(&s.Steps.API)
	cmd.Flag("logs", "Read the log of a pod.").BoolVar(&s.Steps.Logs)
	cmd.Flag("exec", "Run a program in a pod.").BoolVar(&s.Steps.Exec)
	cmd.Flag("policy", "Want a NetworkPolicy to be enforced.").BoolVar(&s.Steps.Policy)
	cmd.Flag("volume", "Claim a volume and write to it.").BoolVar(&s.Steps.Volume)
	cmd.Flag("storage-class", "Storage class of the volume. Default: the cluster's.").StringVar(&s.Steps.StorageClass)
	spanOf(cmd.Flag("deadline", "Ends the run, clearing up included."), s.Deadline.String(), &s.Deadline)
	spanOf(cmd.Flag("patience", "How long one step may take."), s.Patience.String(), &s.Patience)
	var containers smoke.ContainerOptions
	runtimeFlags(cmd, &containers)
	var paths collectors.Paths
	pathFlags(cmd, &paths)
	var output string
	oneOf(cmd.Flag("output", "How to print: text, json or junit.").Short('o'), []string{"text", "json", "junit"}, &output)
	actions[cmd.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) (int, error) {
		s.Interval = max(s.Interval, s.Deadline)
		if err := s.Validate(); err != nil {
			return 0, err
		}
		logger, err := logging.New(stderr, "warn", logging.Formats[0])
		if err != nil {
			return 0, err
		}
		logging.TakeStandard(logger)
		o.Told = func(step smoke.Step) { _, _ = fmt.Fprintln(stderr, strings.TrimSpace(stepLine(step))) }
		switch {
		case containers.Runtime == kubernetes && containers.Socket != "":
			return 0, errors.New("--runtime.socket goes with --runtime=docker or --runtime=cri")
		case containers.Runtime != kubernetes && len(o.Nodes) > 0:
			return 0, errors.New("--node is for pods: --runtime=" + containers.Runtime + " uses this node")
		case containers.Runtime != kubernetes:
			containers.Paths, containers.Told = paths, o.Told
			return smokeContainers(ctx, s, containers, stdout, output)
		}
		c, err := smoke.Open(s.Kubeconfig, collectors.Env{Node: hostname(), Paths: paths, Logger: logger})
		switch {
		case errors.Is(err, collectors.ErrAbsent): // no cluster to ask is an answer
			report := smoke.Report{Status: health.Unknown, Reason: err.Error() + "; " + smoke.WithoutCluster, Namespace: s.Namespace, Began: time.Now(), Nodes: []string{}, Steps: []smoke.Step{}}
			return exitCode(report.Status), printSmoke(stdout, report, output)
		case err != nil:
			return 0, err
		}
		defer func() { _ = c.Close() }()
		o.Turn = smoke.TurnAt(time.Now(), time.Second)
		report := smoke.Run(ctx, c, s, o)
		return exitCode(report.Status), printSmoke(stdout, report, output)
	}
}

// stepLine is what is told of a step when it has ended.
func stepLine(s smoke.Step) string {
	return fmt.Sprintf("%-8s  %-8s  %5.2fs  %s", shout(s.Status), s.Name, s.Seconds, s.Reason)
}

func printSmoke(w io.Writer, r smoke.Report, output string) error {
	switch output {
	case "json":
		return printJSON(w, r)
	case "junit":
		return printJUnit(w, r)
	}
	t := table(w)
	_, _ = fmt.Fprintf(t, "%s - %s\n", shout(r.Status), r.Reason)
	if len(r.Steps) > 0 {
		_, _ = fmt.Fprintln(t, "\nSTATUS\tSTEP\tTIME\tREASON")
	}
	for _, s := range r.Steps {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%.2fs\t%s\n", shout(s.Status), s.Name, s.Seconds, s.Reason)
	}
	var more []string
	if len(r.Nodes) > 0 {
		more = append(more, "nodes: "+strings.Join(r.Nodes, ", "))
	}
	for _, skipped := range r.Skipped {
		more = append(more, "not covered: "+skipped.Node+", "+skipped.Reason)
	}
	more = append(more, r.Notes...)
	if len(r.Swept) > 0 {
		more = append(more, "removed what earlier runs had left: "+strings.Join(r.Swept, ", "))
	}
	if len(r.Leftovers) > 0 {
		more = append(more, "left behind in "+cmp.Or(r.Namespace, r.Server)+": "+strings.Join(r.Leftovers, ", "))
	}
	if len(more) > 0 {
		_, _ = fmt.Fprintln(t)
	}
	for _, line := range more {
		_, _ = fmt.Fprintln(t, line)
	}
	return t.Flush()
}
