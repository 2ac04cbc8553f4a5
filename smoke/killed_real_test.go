package smoke

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// killing is when a run is killed: in a step, some time after the verdict on an
// earlier one.
type killing struct {
	in, after string // after nothing: as soon as it has made something
	wait      time.Duration
	args      []string
}

// killings are in every step. What clients ask they ask at once, so that from
// pod-tcp to api it is one.
var killings = []killing{
	{in: StepAdmit},
	{in: StepSchedule, after: StepAdmit},
	{in: StepStart, after: StepSchedule},
	{in: StepRuntime, after: StepStart},
	{in: StepTCP, after: StepRuntime, wait: time.Second},
	{in: StepLogs, after: StepAPI, args: []string{"--logs"}},
	{in: StepExec, after: StepLogs, args: []string{"--logs", "--exec"}},
	{in: StepPolicy, after: StepAPI, wait: 500 * time.Millisecond, args: []string{"--policy"}},
	{in: StepVolume, after: StepAPI, wait: time.Second, args: []string{"--volume", "--storage-class=none"}},
	{in: StepDelete, after: StepAPI},
}

func (k *killing) namespace() string { return "killed-" + k.in }

// killRuns has runs killed and waits until nothing is left of them, which it
// says by the channel: nobody else looks into their namespaces, so it is the
// cluster that has removed it.
func killRuns(t *testing.T, cluster *real.Cluster, patience time.Duration) <-chan error {
	t.Helper()
	binary := filepath.Join(filepath.Dir(imageTar(t)), "grapevine")
	bounded, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	group, ctx := errgroup.WithContext(bounded)
	group.SetLimit(4) // so that each gets on within its patience
	for _, k := range killings {
		group.Go(func() error {
			if err := k.kill(ctx, cluster, binary); err != nil {
				return fmt.Errorf("killing a run in %s: %w", k.in, err)
			}
			return nil
		})
	}
	must(t, group.Wait())
	left, err := leftOfKilled(t.Context(), cluster)
	must(t, err)
	for _, k := range killings {
		if k.in != StepDelete && !strings.Contains(left[k.namespace()], "Job/") {
			t.Errorf("killed in %s, it has cleared up already: %q", k.in, left[k.namespace()])
		}
	}
	gone := make(chan error, 1)
	began := time.Now()
	go func() {
		for ; ; time.Sleep(time.Second) {
			left, err := leftOfKilled(t.Context(), cluster)
			switch took := time.Since(began); {
			case err == nil && len(left) == 0:
				t.Logf("nothing was left after %.1f s of runs that were killed", took.Seconds())
				gone <- nil
				return
			case took > patience || t.Context().Err() != nil:
				gone <- fmt.Errorf("left after %v of runs that were killed: %v, %w", took, left, err)
				return
			}
		}
	}()
	return gone
}

// kill makes runs and kills them, until one has come to the step and no further.
func (k *killing) kill(ctx context.Context, cluster *real.Cluster, binary string) error {
	const most = 5 // steps of some milliseconds are missed now and then
	args := append([]string{"smoke", "--kubeconfig=" + cluster.APIServer.Kubeconfig, "--namespace=" + k.namespace()}, k.args...)
	var past error
	for i := range most {
		cmd := exec.CommandContext(ctx, binary, args...)
		progress, err := cmd.StderrPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		told := bufio.NewScanner(progress)
		if k.after == "" {
			err = madeSomething(ctx, cluster, k.namespace(), i)
		} else if said, ok := saidOf(told, k.after); !ok {
			err = fmt.Errorf("it has not come to that: %s", said)
		}
		time.Sleep(k.wait)
		err = errors.Join(err, cmd.Process.Kill())
		said, ended := saidOf(told, k.in)
		_ = cmd.Wait() // it was killed
		if err != nil || !ended {
			return err
		}
		past = fmt.Errorf("%d times it was past that: %s", i+1, said)
	}
	return past
}

// saidOf reads the progress of a run up to what it says of a step, if it does.
func saidOf(progress *bufio.Scanner, step string) (said string, ok bool) {
	for !ok && progress.Scan() {
		said += progress.Text() + "\n"
		words := strings.Fields(progress.Text())
		ok = len(words) > 1 && words[1] == step
	}
	return said, ok
}

// madeSomething waits until a run has made its first object, beside those of
// earlier runs.
func madeSomething(ctx context.Context, cluster *real.Cluster, namespace string, earlier int) error {
	for {
		var jobs struct{ Items []struct{} }
		err := cluster.APIServer.Get(ctx, "/apis/batch/v1/namespaces/"+namespace+"/jobs", &jobs)
		if err != nil || len(jobs.Items) > earlier {
			return err
		}
	}
}

// leftOfKilled tells by namespace what is there that a run may have made, or
// that was made for that.
func leftOfKilled(ctx context.Context, cluster *real.Cluster) (map[string]string, error) {
	out, err := cluster.Kubectl(ctx, "", "get", "--all-namespaces", "--no-headers", "-o", "custom-columns=:.metadata.namespace,:.kind,:.metadata.name",
		"pods,jobs,services,endpointslices,networkpolicies,persistentvolumeclaims,configmaps,secrets")
	left := map[string]string{}
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) == 3 && strings.HasPrefix(words[0], "killed-") && words[2] != "kube-root-ca.crt" {
			left[words[0]] += words[1] + "/" + words[2] + " "
		}
	}
	return left, err
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
