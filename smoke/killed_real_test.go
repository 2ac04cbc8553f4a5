package smoke

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"

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
func killRuns(t *testing.T, cluster *real.Cluster) <-chan error {
	t.Helper()
	binary := filepath.Join(filepath.Dir(imageTar(t)), "grapevine")
	group, ctx := errgroup.WithContext(t.Context())
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
	left, err := made(t.Context(), cluster)
	must(t, err)
	for _, k := range killings {
		if k.in != StepDelete && !strings.Contains(left[k.namespace()], "jobs/") {
			t.Errorf("killed in %s, it has cleared up already: %q", k.in, left[k.namespace()])
		}
	}
	gone := make(chan error, 1)
	began := time.Now()
	go func() {
		err := errors.New("nobody has looked")
		for err != nil && time.Since(began) < 10*time.Minute && t.Context().Err() == nil {
			time.Sleep(2 * time.Second) // it takes a minute and a half
			err = goneOfKilled(t.Context(), cluster)
		}
		t.Logf("looked for %.1f s for what runs that were killed have left", time.Since(began).Seconds())
		gone <- err
	}()
	return gone
}

func goneOfKilled(ctx context.Context, cluster *real.Cluster) error {
	left, err := made(ctx, cluster)
	for _, k := range killings {
		if all := left[k.namespace()]; all != "" {
			err = errors.Join(err, fmt.Errorf("left of a run that was killed in %s: %s", k.in, all))
		}
	}
	return err
}

// kill makes runs and kills them, until one has come to the step and no
// further: steps of some milliseconds are missed now and then, and on a machine
// without time a run does not get there.
func (k *killing) kill(ctx context.Context, cluster *real.Cluster, binary string) (err error) {
	for range 8 {
		var there bool
		if there, err = k.tryOnce(ctx, cluster, binary); there || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (k *killing) tryOnce(ctx context.Context, cluster *real.Cluster, binary string) (there bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	earlier, err := k.jobs(ctx, cluster)
	if err != nil {
		return false, err
	}
	args := append([]string{"smoke", "--kubeconfig=" + cluster.APIServer.Kubeconfig, "--namespace=" + k.namespace()}, k.args...)
	cmd := exec.CommandContext(ctx, binary, args...)
	progress, err := cmd.StderrPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	told := bufio.NewScanner(progress)
	if k.after == "" {
		for now := earlier; err == nil && now == earlier; {
			now, err = k.jobs(ctx, cluster)
		}
	} else if said, ok := saidOf(told, k.after); !ok {
		err = fmt.Errorf("it has not come to that: %s", said)
	}
	time.Sleep(k.wait)
	err = errors.Join(err, cmd.Process.Kill())
	said, ended := saidOf(told, k.in)
	_ = cmd.Wait() // it was killed
	if err == nil && ended {
		err = fmt.Errorf("it was past that: %s", said)
	}
	return err == nil, err
}

// jobs is how many anchors there are of its runs.
func (k *killing) jobs(ctx context.Context, cluster *real.Cluster) (int, error) {
	var list batchv1.JobList
	err := cluster.APIServer.Get(ctx, "/apis/batch/v1/namespaces/"+k.namespace()+"/jobs", &list)
	return len(list.Items), err
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
