package smoke

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// A run that is killed, in whatever step, is cleared up by the cluster: no
// agent is there any more.
func TestKilledOnARealCluster(t *testing.T) {
	t.Parallel()
	cluster := needCluster(t, real.ClusterOptions{Nodes: 2})
	binary := filepath.Join(filepath.Dir(imageTar(t)), "grapevine")
	steps := []string{StepAdmit, StepSchedule, StepStart, StepRuntime, StepTCP, StepAPI}
	var killed sync.WaitGroup
	for _, step := range steps {
		killed.Go(func() {
			cmd := exec.CommandContext(t.Context(), binary, "smoke", "--kubeconfig="+cluster.APIServer.Kubeconfig, "--namespace=killed-"+step, "--deadline=30s", "--patience=10s")
			words, err := cmd.StderrPipe()
			if err != nil {
				t.Error(err)
				return
			}
			if err := cmd.Start(); err != nil {
				t.Error(err)
				return
			}
			reached := false
			for lines := bufio.NewScanner(words); lines.Scan(); {
				if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[1] == step && !reached {
					reached = true
					_ = cmd.Process.Kill()
				}
			}
			if err := cmd.Wait(); !reached || err == nil {
				t.Errorf("%s: reached %v, ended with %v", step, reached, err)
			}
		})
	}
	killed.Wait()
	objects := func(step string) string {
		out, err := cluster.Kubectl(t.Context(), "", "get", "pods,jobs,services", "-n", "killed-"+step, "-o", "name")
		must(t, err)
		return strings.TrimSpace(out)
	}
	for _, step := range steps {
		if left := objects(step); !strings.Contains(left, "job.batch/") {
			t.Errorf("killed in the step %s it had cleared up already: %q", step, left)
		}
	}
	began := time.Now()
	for _, step := range steps {
		for objects(step) != "" && time.Since(began) < 2*time.Minute {
			time.Sleep(time.Second)
		}
		if left := objects(step); left != "" {
			t.Errorf("killed in the step %s, it has left behind after %v: %s", step, time.Since(began), left)
		}
		t.Logf("killed in the step %s: gone after %v", step, time.Since(began).Round(time.Second))
	}
}

// A cluster of one node proves what one can. What an earlier run has left
// there, and the cluster has not removed, the next one does; what is of a run
// under way it lets be.
func TestSweepOnARealCluster(t *testing.T) {
	t.Parallel()
	cluster := needCluster(t, real.ClusterOptions{Nodes: 1})
	c := needClient(t, cluster.APIServer.Kubeconfig)
	s := Default()
	r := makeRun(t.Context(), t, c, s, Options{})
	wantsGreen(t, r)
	if !slices.Equal(r.Notes, []string{"node-0 is the only node that can be used, of 1: the way between nodes is not proven"}) {
		t.Errorf("notes %q", r.Notes)
	}
	// Two runs that stop before they clear up.
	begin := func() *run {
		r := newRun(t.Context(), c, s, Options{})
		if v := r.admitServers(t.Context()); !v.passed() {
			t.Fatal(v.reason)
		}
		return r
	}
	left, next := begin(), begin()
	next.sweep(t.Context())
	if len(next.report.Swept) > 0 {
		t.Errorf("swept of a run under way: %v", next.report.Swept)
	}
	next.started = next.started.Add(s.overdue() + 5*time.Second)
	next.sweep(t.Context())
	if len(next.report.Swept) != 3 || strings.Contains(strings.Join(next.report.Swept, " "), next.id) {
		t.Errorf("swept %v, want what is of %s", next.report.Swept, left.id)
	}
	until := time.Now().Add(time.Minute)
	for {
		out, err := cluster.Kubectl(t.Context(), "", "get", "pods,jobs,services", "-n", s.Namespace, "-l", runLabel+"="+left.id, "-o", "name")
		must(t, err)
		if out == "" {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("still there: %s", out)
		}
		time.Sleep(200 * time.Millisecond)
	}
	next.clear(t.Context())
	next.follower.close()
	nothingLeft(t, cluster, s.Namespace)
}
