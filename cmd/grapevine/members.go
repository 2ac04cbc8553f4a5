package main

import (
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/internal/web"
)

func membersCommand(app *kingpin.Application, actions map[string]action) {
	cmd := app.Command("members", "Show who is in the mesh, as seen from here. Exits 3 when the agent does not answer.")
	actions[cmd.FullCommand()] = query(cmd, web.MembersPath, printMembers, func(web.Members) int { return 0 })
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
