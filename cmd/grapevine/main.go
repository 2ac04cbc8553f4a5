// Command grapevine runs on every node of a cluster, checks what keeps it
// alive and answers for the whole of it. This package holds flags,
// subcommands and printing; internal/agent does the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/grapevine-mesh/grapevine/health"
)

// badInput is the exit code for flags, files and ports that cannot be used.
// It happens to be what Critical gives: either way somebody has to look.
const badInput = 2

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// action runs a subcommand and returns the exit code. An error is bad input
// and becomes one line on stderr, where logs go, too.
type action func(ctx context.Context, stdout, stderr io.Writer) (int, error)

// run parses args and runs the subcommand they name. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app, actions := application(stdout, stderr)
	code := 0
	var ended terminated
	command, err := parse(app, args)
	switch {
	case err == nil:
		code, err = actions[command](ctx, stdout, stderr)
	case errors.As(err, &ended):
		return int(ended)
	}
	if err != nil {
		for line := range strings.Lines(err.Error()) { // a file can have several things wrong
			_, _ = fmt.Fprintf(stderr, "grapevine: %s\n", strings.TrimSpace(line))
		}
		return badInput
	}
	return code
}

// application is the command line, and what its subcommands do by their names.
func application(stdout, stderr io.Writer) (*kingpin.Application, map[string]action) {
	app := kingpin.New("grapevine", "Checks what keeps a Kubernetes cluster alive, on every node, and answers for the whole cluster on any of them.")
	app.Version(version.Print("grapevine"))
	app.HelpFlag.Short('h')
	app.UsageWriter(stdout).ErrorWriter(stderr)
	app.Terminate(func(code int) { panic(terminated(code)) })

	actions := map[string]action{}
	for _, register := range []func(*kingpin.Application, map[string]action){
		agentCommand, statusCommand, membersCommand, checkCommand, keygenCommand, keyringCommand, smokeCommand, smokePodCommand, canaryCommand, versionCommand,
	} {
		register(app, actions)
	}
	return app, actions
}

// terminated is the exit code with which kingpin wants to end the process:
// it has printed the help or the version, and would go on to parse the rest.
type terminated int

func (t terminated) Error() string { return "terminated" }

// parse returns the subcommand that args name.
func parse(app *kingpin.Application, args []string) (command string, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case terminated:
			err = p
		default:
			panic(p)
		}
	}()
	if len(args) == 0 { // for which kingpin prints the usage and is content
		return "", errors.New("no command; grapevine --help lists them")
	}
	return app.Parse(args)
}

// exitCode is what monitoring plugins return for a status.
func exitCode(s health.Status) int { return int(s) }

func versionCommand(app *kingpin.Application, actions map[string]action) {
	actions[app.Command("version", "Print the version.").FullCommand()] = func(_ context.Context, stdout, _ io.Writer) (int, error) {
		_, err := fmt.Fprintln(stdout, version.Print("grapevine"))
		return 0, err
	}
}
