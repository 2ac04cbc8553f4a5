package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/smoke"
)

// kubernetes is what runs the pods unless --runtime says otherwise.
const kubernetes = "kubernetes"

func runtimeFlags(cmd *kingpin.CmdClause, o *smoke.ContainerOptions) {
	oneOf(cmd.Flag("runtime", "What runs the test: kubernetes, or, with no API server to ask, docker or cri on this node alone."), []string{kubernetes, smoke.Docker, smoke.CRI}, &o.Runtime)
	cmd.Flag("runtime.socket", "Socket of that container runtime. Default: as the check docker or cri finds it.").StringVar(&o.Socket)
}

// smokeContainers makes a run by a container runtime of this node.
func smokeContainers(ctx context.Context, s smoke.Settings, o smoke.ContainerOptions, stdout io.Writer, output string) (int, error) {
	taken := smoke.Default()
	taken.Interval, taken.Image, taken.Deadline, taken.Patience = s.Interval, s.Image, s.Deadline, s.Patience
	if s != taken {
		return 0, fmt.Errorf("--runtime=%s goes with --image, --deadline and --patience: the other settings are for pods", o.Runtime)
	}
	if o.Socket = strings.TrimPrefix(o.Socket, "unix://"); o.Socket != "" && !filepath.IsAbs(o.Socket) {
		return 0, fmt.Errorf("--runtime.socket: %.100q is not an absolute path", o.Socket)
	}
	var err error
	if o.Binary, err = os.Executable(); err != nil {
		return 0, fmt.Errorf("finding this binary: %w", err)
	}
	o.Node = hostname()
	report, err := smoke.RunContainers(ctx, s, o)
	switch {
	case errors.Is(err, collectors.ErrAbsent): // no runtime to ask is an answer
		report = smoke.Report{Status: health.Unknown, Reason: err.Error(), Server: o.Socket, Began: time.Now(), Nodes: []string{}, Steps: []smoke.Step{}}
	case err != nil:
		return 0, err
	}
	return exitCode(report.Status), printSmoke(stdout, report, output)
}
