package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestOperatorsView walks the command line over a small mesh without
// Kubernetes: what a person sees over SSH.
func TestOperatorsView(t *testing.T) {
	t.Parallel()
	etcd := real.NeedEtcd(t, real.EtcdOptions{})
	config := fmt.Sprintf("checks:\n  etcd:\n    endpoints: [%q]\n", etcd.Members[0].ClientURL)
	a := real.NeedAgent(t, real.AgentOptions{Name: "a", Config: config, Checks: []string{"disk", "etcd"}})
	b := real.NeedAgent(t, real.AgentOptions{Name: "b", Join: []string{a.Gossip}, Checks: []string{"disk"}})
	c := &cluster{t: t}
	c.converged(a, b)

	eventually(t, "all is well", func(context.Context) error {
		if out, code := grapevine(t, "status", "--url="+b.URL); code != 0 {
			return fmt.Errorf("exit %d:\n%s", code, out)
		}
		return nil
	})
	began := time.Now()
	if err := etcd.Members[0].Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b says what is wrong on a", func(context.Context) error {
		out, code := grapevine(t, "status", "--url="+b.URL)
		if code != 2 || !strings.Contains(out, "CRITICAL") || !strings.Contains(out, "etcd") {
			return fmt.Errorf("exit %d:\n%s", code, out)
		}
		return nil
	})
	t.Logf("named after %v", time.Since(began))

	out, code := grapevine(t, "status", "--url="+b.URL, "-o", "json")
	var status struct {
		Status   string
		Problems []struct{ Node, Check, Status, Reason string }
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil || code != 2 || status.Status != "critical" ||
		len(status.Problems) == 0 || status.Problems[0].Node != "a" || status.Problems[0].Reason == "" {
		t.Errorf("exit %d, %v: %+v", code, err, status)
	}
	if out, code := grapevine(t, "members", "--url="+a.URL); code != 0 || !strings.Contains(out, b.Exchange) {
		t.Errorf("members exits %d:\n%s", code, out)
	}
	if out, code := grapevine(t, "check", "etcd", "--config.file="+a.ConfigFile); code != 2 || !strings.Contains(out, "CRITICAL") {
		t.Errorf("check exits %d:\n%s", code, out)
	}
	if out, code := grapevine(t, "check", "disk", "-o", "json", "--storage.path="+a.Storage); code > 1 || !strings.Contains(out, `"check": "disk"`) {
		t.Errorf("check disk exits %d:\n%s", code, out)
	}

	// A clean stop does not wait for what it could not finish, and the other forgets at once.
	began = time.Now()
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("stopping took %v", took)
	}
	eventually(t, "a has forgotten b", func(ctx context.Context) error {
		all, err := series(ctx, a, "/metrics", "grapevine_node_up")
		if err == nil && len(all) != 1 {
			err = fmt.Errorf("it knows %v", all)
		}
		return err
	})
	if out, code := grapevine(t, "status", "--url="+b.URL); code != 3 || !strings.Contains(out, "UNKNOWN") {
		t.Errorf("status of nobody exits %d:\n%s", code, out)
	}
}

// TestColdStart holds that agents that lost everything but their disk find
// each other again, with no seed alive.
func TestColdStart(t *testing.T) {
	t.Parallel()
	disk := []string{"disk"}
	a := real.NeedAgent(t, real.AgentOptions{Name: "a", Checks: disk})
	b := real.NeedAgent(t, real.AgentOptions{Name: "b", Join: []string{a.Gossip}, Checks: disk})
	d := real.NeedAgent(t, real.AgentOptions{Name: "d", Join: []string{a.Gossip}, Checks: disk})
	c := &cluster{t: t}
	c.converged(a, b, d)
	time.Sleep(6 * time.Second) // what they know reaches their disks
	for _, agent := range []*real.Agent{a, b, d} {
		if err := agent.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	// a, the only seed, stays away.
	for _, agent := range []*real.Agent{b, d} {
		if err := agent.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.converged(b, d)
}
