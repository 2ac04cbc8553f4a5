package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// smokeCluster is a cluster whose nodes have the image of this program, with
// what deploy/smoke.yaml brings. It returns a kubeconfig with these rights.
func smokeCluster(t *testing.T) (*real.Cluster, string) {
	t.Helper()
	k8s := real.NeedCluster(t, real.ClusterOptions{Nodes: 2, DNS: true})
	dir := t.TempDir()
	image := filepath.Join(dir, "image.tar")
	tar, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), real.Binary(t, "grapevine"), "smoke-image")
	cmd.Stdout = tar
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	_ = tar.Close() // the import fails when it is not whole
	for _, n := range k8s.Nodes {
		if err := n.Containerd.Import(t.Context(), real.Image{Tar: image}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k8s.Kubectl(t.Context(), "", "apply", "-f", "../../deploy/smoke.yaml"); err != nil {
		t.Fatal(err)
	}
	token, err := k8s.Kubectl(t.Context(), "", "create", "token", "grapevine-smoke", "-n", "grapevine-smoke")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := clientcmd.LoadFromFile(k8s.APIServer.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for name := range kubeconfig.AuthInfos {
		kubeconfig.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: strings.TrimSpace(token)}
	}
	path := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*kubeconfig, path); err != nil {
		t.Fatal(err)
	}
	return k8s, path
}

// runners are the nodes that have made runs, as an agent shows it, with their
// number.
func runners(ctx context.Context, a *real.Agent) (map[string]float64, error) {
	all, err := series(ctx, a, "/metrics", "grapevine_smoke_runs_total")
	made := map[string]float64{}
	for _, s := range all {
		made[s.labels["node"]] += s.value
	}
	return made, err
}

// TestSmokeByTheAgents has three agents with the check switched on: one of them
// makes the runs, all show what came of them, and when it is killed another one
// goes on.
func TestSmokeByTheAgents(t *testing.T) {
	t.Parallel()
	k8s, kubeconfig := smokeCluster(t)
	var agents []*real.Agent
	var seeds []string
	for i := range size {
		agents = append(agents, real.NeedAgent(t, real.AgentOptions{
			Name: nodeName(i), Join: seeds, Checks: []string{"apiserver", "smoke"}, ExtraArgs: []string{"--mesh.stale-after=30s"},
			Config: fmt.Sprintf(`
checks:
  apiserver: {kubeconfig: %[1]q}
  smoke: {enabled: true, kubeconfig: %[2]q, interval: 1m, deadline: 32s, patience: 10s, priority_class: grapevine-smoke}
`, k8s.APIServer.Kubeconfig, kubeconfig),
		}))
		seeds = append(seeds, agents[i].Gossip)
	}
	(&cluster{t: t}).converged(agents...)

	// green waits until all agents that live show that one node has made a run
	// that went well, and returns which one. What the dead one has said is
	// still shown for a while.
	green := func(what string, living []*real.Agent, dead string) string {
		who := ""
		eventually(t, what, func(ctx context.Context) error {
			for _, a := range living {
				made, err := runners(ctx, a)
				if err != nil {
					return err
				}
				who = ""
				for node, runs := range made {
					if runs > 0 && node != dead {
						who += node
					}
				}
				if err := wants(ctx, a, "grapevine_smoke_success", 1, "node", who); err != nil {
					return err
				}
				for _, step := range []string{"admit", "schedule", "start", "runtime", "pod-tcp", "pod-udp", "service", "dns", "api", "delete"} {
					if err := wants(ctx, a, "grapevine_check_status", 0, "node", who, "check", "smoke", "subject", step); err != nil {
						return err
					}
				}
			}
			return nil
		})
		return who
	}
	first := green("a run by one agent is shown by all", agents, "")
	for _, a := range agents {
		for _, n := range agents {
			if err := wants(t.Context(), a, "grapevine_check_status", 0, "node", n.Name, "check", "smoke", "subject", "runs"); err != nil {
				t.Error(err)
			}
		}
		all, err := series(t.Context(), a, "/metrics", "grapevine_smoke_success")
		if err != nil || len(all) != 1 {
			t.Errorf("%s shows runs by more than one: %v, %v", a.Name, all, err)
		}
	}
	everyFamilyIsDocumented(t, agents[0])

	var living []*real.Agent
	for _, a := range agents {
		if a.Name != first {
			living = append(living, a)
			continue
		}
		if err := a.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	green("another agent goes on", living, first)
	eventually(t, "of the dead one nothing is shown any more", func(ctx context.Context) error {
		all, err := series(ctx, living[0], "/metrics", "grapevine_smoke_success")
		if err == nil && len(all) != 1 {
			err = fmt.Errorf("%v", all)
		}
		return err
	})

	for _, a := range living { // a run under way is cleared up by its maker, or by the cluster
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "nothing is left", func(ctx context.Context) error {
		out, err := k8s.Kubectl(ctx, "", "get", "pods,jobs,services", "-n", "grapevine-smoke", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = fmt.Errorf("left: %s", out)
		}
		return err
	})
}
