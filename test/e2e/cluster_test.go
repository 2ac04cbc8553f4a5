// Package e2e runs whole clusters of agents over real components, and looks
// at them as an operator and a Prometheus do.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// cluster is three agents, each with an etcd member of its own, and one API
// server that all of them ask.
type cluster struct {
	t      *testing.T
	etcd   *real.Etcd
	api    *real.APIServer
	agents []*real.Agent
}

const size = 3

func newCluster(t *testing.T, extraArgs ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, etcd: real.NeedEtcd(t, real.EtcdOptions{Members: size})}
	c.api = real.NeedAPIServer(t, real.APIServerOptions{EtcdURL: strings.Join(c.etcd.Endpoints(), ",")})
	var seeds []string
	for i := range size {
		c.agents = append(c.agents, real.NeedAgent(t, real.AgentOptions{
			Name: nodeName(i), Join: seeds, Checks: []string{"apiserver", "disk", "etcd"}, ExtraArgs: extraArgs,
			Config: fmt.Sprintf(`
checks:
  etcd:
    endpoints: [%q]
  apiserver:
    kubeconfig: %q
  disk:
    paths: [%q]
`, c.etcd.Members[i].ClientURL, c.api.Kubeconfig, c.etcd.Members[i].DataDir),
		}))
		seeds = append(seeds, c.agents[i].Gossip)
	}
	return c
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i+1) }

// eventually asks until check returns nil, and returns how long that took. It
// fails much later than it ever takes: machines stall.
func eventually(t *testing.T, what string, check func(context.Context) error) time.Duration {
	t.Helper()
	began := time.Now()
	const patience = 4 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			took := time.Since(began)
			t.Logf("%s: after %.1f s", what, took.Seconds())
			return took
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %v: %v", what, patience, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// series are the samples of one family as an agent shows them.
func series(ctx context.Context, a *real.Agent, path, name string) ([]sample, error) {
	families, err := a.Scrape(ctx, path)
	if err != nil {
		return nil, err
	}
	var out []sample
	for _, m := range families[name].GetMetric() {
		s := sample{labels: map[string]string{}, value: m.GetGauge().GetValue() + m.GetCounter().GetValue()}
		for _, l := range m.GetLabel() {
			s.labels[l.GetName()] = l.GetValue()
		}
		out = append(out, s)
	}
	return out, nil
}

type sample struct {
	labels map[string]string
	value  float64
}

// wants returns an error unless some series of the family has these labels,
// given as name, value, name, value ..., and the value.
func wants(ctx context.Context, a *real.Agent, name string, value float64, labels ...string) error {
	all, err := series(ctx, a, "/metrics", name)
	if err != nil {
		return err
	}
	for _, s := range all {
		fits := s.value == value
		for i := 0; i < len(labels); i += 2 {
			fits = fits && s.labels[labels[i]] == labels[i+1]
		}
		if fits {
			return nil
		}
	}
	return fmt.Errorf("%s shows no %s %v = %v among %v", a.Name, name, labels, value, all)
}

// converged waits until every agent of agents sees all of them up.
func (c *cluster) converged(agents ...*real.Agent) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%d agents see each other", len(agents)), func(ctx context.Context) error {
		for _, a := range agents {
			for _, b := range agents {
				if err := wants(ctx, a, "grapevine_node_up", 1, "node", b.Name); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// grapevine runs the command line and returns its output and exit code.
func grapevine(t *testing.T, args ...string) (stdout string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), real.Binary(t, "grapevine"), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Logf("grapevine %s\n%s%s", strings.Join(args, " "), &out, &errs)
	return out.String(), cmd.ProcessState.ExitCode()
}
