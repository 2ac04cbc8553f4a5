package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestKeygenMakesAMesh follows the README from the first key to a mesh that
// keeps strangers out.
func TestKeygenMakesAMesh(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "gossip.key")
	out, code := grapevine(t, "keygen", "gossip")
	if code != 0 {
		t.Fatal(out)
	}
	if err := os.WriteFile(keyFile, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := func(authority, node string) []string {
		pki := filepath.Join(dir, authority)
		if _, err := os.Stat(pki); err != nil {
			if out, code := grapevine(t, "keygen", "ca", "--dir="+pki); code != 0 {
				t.Fatal(out)
			}
		}
		if out, code := grapevine(t, "keygen", "cert", "--dir="+pki, "--node="+node); code != 0 {
			t.Fatal(out)
		}
		return []string{
			"--mesh.key-file=" + keyFile, "--mesh.tls-ca=" + filepath.Join(pki, "ca.crt"),
			"--mesh.tls-cert=" + filepath.Join(pki, node+".crt"), "--mesh.tls-key=" + filepath.Join(pki, node+".key"),
			"--collector.disable-defaults", "--collector.disk",
		}
	}
	a := real.NeedAgent(t, real.AgentOptions{Name: "a.example", ExtraArgs: keys("ours", "a.example")})
	b := real.NeedAgent(t, real.AgentOptions{Name: "b", Join: []string{a.Gossip}, ExtraArgs: keys("ours", "b")})
	c := &cluster{t: t}
	c.converged(a, b)

	stranger := real.NeedAgent(t, real.AgentOptions{Name: "stranger", Join: []string{a.Gossip}, ExtraArgs: keys("theirs", "stranger")})
	eventually(t, "a refuses the stranger", func(ctx context.Context) error {
		all, err := series(ctx, a, "/metrics/local", "grapevine_mesh_refused_total")
		for _, s := range all {
			if s.labels["reason"] == "authority" && s.value > 0 {
				return nil
			}
		}
		return fmt.Errorf("refused: %v, %w", all, err)
	})
	for who, about := range map[*real.Agent]string{a: "stranger", stranger: "a.example"} {
		if err := wants(t.Context(), who, "grapevine_node_up", 1, "node", about); err == nil {
			t.Errorf("%s takes the word of %s", who.Name, about)
		}
	}
	for _, agent := range []*real.Agent{a, b, stranger} {
		if log := agent.Log(); strings.Contains(log, strings.TrimSpace(out)) {
			t.Errorf("the log of %s shows the gossip key", agent.Name)
		}
	}
}

// TestStartsAlone holds that an agent starts and serves with nothing there,
// and finds everything when it comes; and that a reload takes in a new file
// and refuses a bad one.
func TestStartsAlone(t *testing.T) {
	t.Parallel()
	etcd := real.NeedEtcd(t, real.EtcdOptions{})
	if err := etcd.Members[0].Stop(); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("checks:\n  etcd:\n    endpoints: [%q]\n", etcd.Members[0].ClientURL)
	late := real.NeedAgent(t, real.AgentOptions{Name: "late", Checks: []string{"disk"}})
	if err := late.Stop(); err != nil {
		t.Fatal(err)
	}
	a := real.NeedAgent(t, real.AgentOptions{
		Name: "a", Join: []string{"no-such-host.invalid", late.Gossip}, Config: config, Checks: []string{"disk", "etcd"},
	})
	verdict := func(value float64) func(context.Context) error {
		return func(ctx context.Context) error {
			return wants(ctx, a, "grapevine_check_status", value, "check", "etcd")
		}
	}
	eventually(t, "etcd is critical", verdict(2))
	if err := etcd.Members[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "etcd is well", verdict(0))

	if err := late.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t}
	c.converged(a, late)

	reload := func(text string) {
		t.Helper()
		if err := os.WriteFile(a.ConfigFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	reload(strings.Replace(config, "endpoints", "endpionts", 1))
	eventually(t, "the bad file is refused", func(ctx context.Context) error {
		return wants(ctx, a, "grapevine_config_last_reload_successful", 0, "node", "a")
	})
	if log := a.Log(); !strings.Contains(log, "grapevine.yml:3:") {
		t.Error("the log does not say where the file is wrong")
	}
	if err := verdict(0)(t.Context()); err != nil {
		t.Errorf("the old configuration is not in force: %v", err)
	}
	reload(config + "    interval: 4s\n")
	eventually(t, "the good file is taken", func(ctx context.Context) error {
		return wants(ctx, a, "grapevine_config_last_reload_successful", 1, "node", "a")
	})
}
