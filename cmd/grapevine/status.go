package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/web"
)

func statusCommand(app *kingpin.Application, actions map[string]action) {
	cmd := app.Command("status", "Show the cluster's health, problems first. Exits 0 ok, 1 warning, 2 critical, 3 unknown.")
	actions[cmd.FullCommand()] = query(cmd, web.StatusPath, printStatus, func(s web.Status) int { return exitCode(s.Status) })
}

// query is the action of a command that asks the agent for a T and prints it.
func query[T any](cmd *kingpin.CmdClause, path string, printText func(io.Writer, T) error, code func(T) int) action {
	var c client
	c.flags(cmd)
	return func(ctx context.Context, stdout, _ io.Writer) (int, error) {
		var answer T
		if code, err := c.ask(ctx, stdout, path, &answer); err != nil || code != 0 {
			return code, err
		}
		if c.output == "json" {
			return code(answer), printJSON(stdout, answer)
		}
		return code(answer), printText(stdout, answer)
	}
}

// ask is get for commands whose answer is a status: who cannot be asked is
// unknown, which is an answer and goes to stdout like any other.
func (c *client) ask(ctx context.Context, stdout io.Writer, path string, v any) (int, error) {
	err := c.get(ctx, path, v)
	var gone unreachableError
	if !errors.As(err, &gone) {
		return 0, err
	}
	if c.output == "json" {
		err = printJSON(stdout, map[string]any{"status": health.Unknown, "reason": gone.Error()})
	} else {
		_, err = fmt.Fprintf(stdout, "UNKNOWN  %s\n", gone.Error())
	}
	return exitCode(health.Unknown), err
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printStatus(w io.Writer, s web.Status) error {
	t := table(w)
	_, _ = fmt.Fprintf(t, "%s: %d of %d nodes heard, as seen from %s\n", shout(s.Status), s.Partition.Up, s.Partition.Known, s.Node)
	for _, f := range s.Partition.Findings {
		since := ""
		if !f.Since.IsZero() {
			since = fmt.Sprintf(" (for %s, since %s)", ago(s.Time.Sub(f.Since)), f.Since.UTC().Format("2006-01-02 15:04:05 UTC"))
		}
		_, _ = fmt.Fprintf(t, "%s: %s%s\n", shout(f.Status), f.Reason, since)
	}
	if len(s.Problems) > 0 {
		_, _ = fmt.Fprintln(t, "\nSTATUS\tNODE\tCHECK\tSUBJECT\tSINCE\tREASON")
	}
	for _, p := range s.Problems {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", shout(p.Status), p.Node, p.Check, p.Subject, ago(s.Time.Sub(p.Since)), p.Reason)
	}
	_, _ = fmt.Fprintln(t, "\nNODE\tSTATUS\tUP\tGOSSIP\tAGE\tVERSION\t")
	for _, n := range s.Nodes {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n.Node, shout(n.Status), yesNo(n.Up), n.Member, age(n.AgeSeconds), n.Version, n.Reason)
	}
	return t.Flush()
}

func table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func shout(s health.Status) string { return strings.ToUpper(s.String()) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func age(seconds *float64) string {
	if seconds == nil {
		return "never"
	}
	return ago(time.Duration(*seconds * float64(time.Second)))
}

// ago rounds to what a person wants to know.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
