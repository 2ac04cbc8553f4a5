package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/internal/control"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// incomplete is the exit code when some members have not done as asked.
const incomplete = 1

// keyringCommand changes the keys of the gossip on all nodes. Keys come from
// files, since a command line can be read by everybody on the host; they are
// named by their fingerprints.
func keyringCommand(app *kingpin.Application, actions map[string]action) {
	cmd := app.Command("keyring", "Change the gossip's keys on all nodes: add the new one, use it, remove the old one.")
	dir := cmd.Flag("storage.path", "That of the agent on this host.").Default(defaultStorage).String()
	var output string
	oneOf(cmd.Flag("output", "How to print: text or json.").Short('o'), []string{"text", "json"}, &output)

	register := func(c *kingpin.CmdClause, request func() (control.Request, error)) {
		actions[c.FullCommand()] = func(ctx context.Context, stdout, stderr io.Writer) (int, error) {
			r, err := request()
			if err != nil {
				return 0, err
			}
			k, err := control.Ask(ctx, *dir, r)
			if err != nil {
				return 0, fmt.Errorf("keyring %s: %w", r.Do, err)
			}
			if err := writeKeyring(stdout, k, output); err != nil {
				return 0, err
			}
			return complain(stderr, k), nil
		}
	}
	register(cmd.Command("list", "Which keys the members hold, and which they send with."), func() (control.Request, error) {
		return control.Request{Do: control.List}, nil
	})
	add := cmd.Command("add", "Make all members accept one more key.")
	file := add.Flag("key-file", "File with the key, as grapevine keygen gossip prints it; - is stdin.").Default("-").String()
	register(add, func() (control.Request, error) {
		key, err := readNewKey(*file)
		return control.Request{Do: control.Add, Key: key}, err
	})
	named := func(do, help, force string) {
		c := cmd.Command(do, help)
		fingerprint := c.Arg("fingerprint", "The key, as keyring list names it.").Required().String()
		forced := c.Flag("force", force).Bool()
		register(c, func() (control.Request, error) {
			return control.Request{Do: do, Fingerprint: *fingerprint, Force: *forced}, nil
		})
	}
	named(control.Use, "Make all members send with a key that they accept.", "Also if members do not hold it, or do not answer: they will be lost.")
	named(control.Remove, "Make all members accept a key no more.", "Also if members send with it, or do not answer: they will be lost.")
}

// maxKeyText bounds what is read of a key.
const maxKeyText = 4096

func readNewKey(file string) ([]byte, error) {
	in, name := io.Reader(os.Stdin), "stdin"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("--key-file: %w", err)
		}
		defer f.Close()
		in, name = f, file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxKeyText))
	if err != nil {
		return nil, fmt.Errorf("--key-file: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) == 0 {
		return nil, fmt.Errorf("--key-file: %s is not one line of base64, as grapevine keygen gossip prints it", name)
	}
	return key, nil
}

func writeKeyring(w io.Writer, k mesh.Keyring, form string) error {
	if form == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(k)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tHELD BY\tSENT WITH BY\tMISSING AT")
	answered := slices.DeleteFunc(slices.Clone(k.Members), func(name string) bool { return slices.Contains(k.Silent, name) })
	for _, key := range k.Keys {
		missing := slices.DeleteFunc(slices.Clone(answered), func(name string) bool { return slices.Contains(key.Holders, name) })
		fmt.Fprintf(t, "%s\t%d of %d\t%d of %d\t%s\n", key.Fingerprint, len(key.Holders), len(k.Members), len(key.Senders), len(k.Members),
			cmp.Or(strings.Join(missing, ","), "-"))
	}
	return t.Flush()
}

// complain names the members that have not done as asked.
func complain(w io.Writer, k mesh.Keyring) int {
	code := 0
	say := func(format string, args ...any) {
		code = incomplete
		_, _ = fmt.Fprintf(w, "grapevine: "+format+"\n", args...)
	}
	if len(k.Silent) > 0 {
		say("did not answer: %s", strings.Join(k.Silent, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(k.Trouble)) {
		say("%s: %s", name, k.Trouble[name])
	}
	if len(k.Away) > 0 {
		say("away, and will want the new key first in --mesh.key-file when back: %s", strings.Join(k.Away, ", "))
	}
	return code
}
