package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestKeyringRotation changes the gossip's key on living agents as
// docs/security.md says, with their traffic going on.
func TestKeyringRotation(t *testing.T) {
	t.Parallel()
	must := func(args ...string) string {
		t.Helper()
		out, code := grapevine(t, args...)
		if code != 0 {
			t.Fatalf("grapevine %s exits %d:\n%s", strings.Join(args, " "), code, out)
		}
		return out
	}
	mesh := real.NeedMeshKeys(t)
	old, err := os.ReadFile(mesh.GossipKey)
	if err != nil {
		t.Fatal(err)
	}
	oldKey, newKey := strings.TrimSpace(string(old)), strings.TrimSpace(must("keygen", "gossip"))
	newFile := filepath.Join(t.TempDir(), "new.key")
	if err := os.WriteFile(newFile, []byte(newKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var agents []*real.Agent
	var join []string
	for _, name := range []string{"a", "b", "c"} {
		agent := real.NeedAgent(t, real.AgentOptions{Name: name, Join: join, Checks: []string{"host-network"}, ExtraArgs: mesh.Flags(name)})
		agents, join = append(agents, agent), []string{agent.Gossip}
	}
	c := &cluster{t: t}
	c.converged(agents...)
	a, b := agents[0], agents[1]

	type keys struct {
		Keys []struct {
			Fingerprint      string
			Holders, Senders []string
		}
		Silent []string
	}
	list := func() (k keys) {
		t.Helper()
		if err := json.Unmarshal([]byte(must("keyring", "list", "--storage.path="+b.Storage, "-o", "json")), &k); err != nil {
			t.Fatal(err)
		}
		return k
	}
	before := list()
	if len(before.Keys) != 1 || len(before.Keys[0].Senders) != 3 {
		t.Fatalf("in the beginning: %+v", before)
	}
	first := before.Keys[0].Fingerprint
	if out, code := grapevine(t, "keyring", "remove", "--storage.path="+a.Storage, first); code != 2 {
		t.Errorf("removing the key in use exits %d:\n%s", code, out)
	}
	must("keyring", "add", "--storage.path="+a.Storage, "--key-file="+newFile)
	both := list()
	if len(both.Keys) != 2 || len(both.Keys[0].Holders) != 3 || len(both.Keys[1].Holders) != 3 {
		t.Fatalf("with both: %+v", both)
	}
	fresh := both.Keys[1].Fingerprint // the one that is not sent with
	must("keyring", "use", "--storage.path="+b.Storage, fresh)
	out := must("keyring", "remove", "--storage.path="+a.Storage, first)
	if !strings.Contains(out, fresh) || strings.Contains(out, first) || !strings.Contains(out, "3 of 3") {
		t.Errorf("in the end it prints\n%s", out)
	}

	// Nobody was lost: the words go on, the echo too, and a restart knows the key.
	time.Sleep(3 * time.Second)
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.converged(agents...)
	eventually(t, "the echo goes on", func(ctx context.Context) error {
		for _, agent := range agents {
			for _, other := range agents {
				if agent == other {
					continue
				}
				if err := wants(ctx, agent, "grapevine_check_status", 0, "node", agent.Name, "check", "host-network", "subject", other.Name); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, agent := range agents {
		log := agent.Log()
		if strings.Contains(log, "EventMemberFailed") || strings.Contains(log, "gossip_key") {
			t.Errorf("%s lost somebody:\n%s", agent.Name, log)
		}
		if strings.Contains(log, oldKey) || strings.Contains(log, newKey) {
			t.Errorf("the log of %s shows a key", agent.Name)
		}
		info, err := os.Stat(filepath.Join(agent.Storage, "control.sock"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the socket of %s: %v, %v", agent.Name, info, err)
		}
		if info, err := os.Stat(filepath.Join(agent.Storage, "keyring.json")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the stored keys of %s: %v, %v", agent.Name, info, err)
		}
	}

	// A key file with both keys, on one node; and one with a mistake.
	reload := func(content string) {
		t.Helper()
		if err := os.WriteFile(mesh.GossipKey, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	reload(newKey + "\nno key\n")
	eventually(t, "a bad key file is refused", func(context.Context) error {
		if log := a.Log(); !strings.Contains(log, "gossip.key:2: is not base64") {
			return fmt.Errorf("the log is\n%s", log)
		}
		return nil
	})
	reload(newKey + "\n" + oldKey + "\n")
	eventually(t, "the key file counts", func(context.Context) error {
		if k := list(); len(k.Keys) != 2 || len(k.Keys[0].Senders) != 3 || len(k.Keys[1].Holders) != 1 {
			return fmt.Errorf("%+v", k)
		}
		return nil
	})
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(a.Storage, "control.sock")); err == nil {
		t.Error("the socket is left behind")
	}
	if out, code := grapevine(t, "keyring", "list", "--storage.path="+a.Storage); code != 2 {
		t.Errorf("asking nobody exits %d:\n%s", code, out)
	}
}
