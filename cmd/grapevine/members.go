package main

import (
	"context"
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/internal/web"
)

func membersCommand(app *kingpin.Application, actions map[string]action) {
	cmd := app.Command("members", "Show who is in the mesh, as seen from here. Exits 3 when the agent does not answer.")
	var c client
	c.flags(cmd)
	actions[cmd.FullCommand()] = func(ctx context.Context, stdout, _ io.Writer) (int, error) {
		var m web.Members
		if code, err := c.ask(ctx, stdout, web.MembersPath, &m); err != nil || code != 0 {
			return code, err
		}
		if c.output == "json" {
			return 0, printJSON(stdout, m)
		}
		return 0, printMembers(stdout, m)
	}
}

func printMembers(w io.Writer, m web.Members) error {
	t := table(w)
	_, _ = fmt.Fprintln(t, "NODE\tUP\tGOSSIP\tAGE\tADDRESS\tEXCHANGE\tWEB\tVERSION\tEPOCH")
	for _, n := range m.Members {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n",
			n.Name, yesNo(n.Up), n.State, age(n.AgeSeconds), n.Addr, n.Exchange, n.Web, n.Version, n.Epoch)
	}
	return t.Flush()
}
