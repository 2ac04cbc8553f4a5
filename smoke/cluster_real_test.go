package smoke

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-kit/log"
	"go.uber.org/goleak"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

var built struct {
	sync.Once
	tar string
	err error
}

// imageTar is a file with the image of the binary as it is in the tree now.
func imageTar(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		var dir string
		dir, built.err = os.MkdirTemp("", "grapevine-smoke-") //nolint:usetesting // other tests use it, too
		if built.err == nil {
			built.tar = filepath.Join(dir, "image.tar")
			built.err = buildImage(dir, built.tar)
		}
	})
	must(t, built.err)
	return built.tar
}

func buildImage(dir, tar string) error {
	binary := filepath.Join(dir, "grapevine")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "../cmd/grapevine")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	i, err := collectors.OpenBinaryImage(binary)
	if err != nil {
		return err
	}
	defer i.Close()
	i.Name, i.Command = DefaultImage, "smoke-pod"
	f, err := os.Create(tar)
	if err != nil {
		return err
	}
	if err := i.Write(f); err != nil {
		return err
	}
	return f.Close()
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if built.tar != "" {
			_ = os.RemoveAll(filepath.Dir(built.tar))
		}
		os.Exit(code)
	}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needCluster starts a cluster that has the image on every node.
func needCluster(t *testing.T, o real.ClusterOptions) *real.Cluster {
	t.Helper()
	tar := imageTar(t)
	o.DNS = true
	cluster := real.NeedCluster(t, o)
	for _, n := range cluster.Nodes {
		must(t, n.Containerd.Import(t.Context(), real.Image{Tar: tar}))
	}
	return cluster
}

func needClient(t *testing.T, kubeconfig string) *Client {
	t.Helper()
	c, err := Open(kubeconfig, collectors.Env{Paths: collectors.DefaultPaths(), Logger: log.NewNopLogger()})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// makeRun makes a run and logs it.
func makeRun(ctx context.Context, t *testing.T, c *Client, s Settings, o Options) Report {
	t.Helper()
	must(t, s.Validate())
	told := o.Told
	o.Told = func(step Step) {
		t.Logf("%-8s %-8s %5.2fs %s", step.Status, step.Name, step.Seconds, step.Reason)
		if told != nil {
			told(step)
		}
	}
	report := Run(ctx, c, s, o)
	t.Logf("%s: %s; nodes %v, skipped %v, notes %v, swept %v, leftovers %v, %.1f s", report.Status, report.Reason,
		report.Nodes, report.Skipped, report.Notes, report.Swept, report.Leftovers, report.Seconds)
	return report
}

// wants holds the steps against what is wanted: all before step are well, step
// has the status and the words in its reason, and what comes after it is not
// reached. Only delete is well again.
func wants(t *testing.T, r Report, step string, status health.Status, words ...string) {
	t.Helper()
	at := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Name == step })
	for i, s := range r.Steps {
		switch {
		case i == at:
			if s.Status != status {
				t.Errorf("%s is %s, want %s: %s", s.Name, s.Status, status, s.Reason)
			}
			for _, word := range words {
				if !strings.Contains(s.Reason, word) {
					t.Errorf("%s does not name %q: %s", s.Name, word, s.Reason)
				}
			}
		case i < at && s.Status != health.OK:
			t.Errorf("%s is %s: %s", s.Name, s.Status, s.Reason)
		case i > at && s.Name != StepDelete && (s.Status != health.Unknown || s.Reason != notReached):
			t.Errorf("%s is %s: %s", s.Name, s.Status, s.Reason)
		}
	}
	if r.Status != status || !strings.HasPrefix(r.Reason, step+": ") {
		t.Errorf("the run is %s: %s", r.Status, r.Reason)
	}
}

func wantsGreen(t *testing.T, r Report) {
	t.Helper()
	for _, s := range r.Steps {
		if s.Status != health.OK {
			t.Errorf("%s is %s: %s", s.Name, s.Status, s.Reason)
		}
	}
	if r.Status != health.OK {
		t.Errorf("the run is %s: %s", r.Status, r.Reason)
	}
}

// nothingLeft looks with an administrator's eyes.
func nothingLeft(t *testing.T, cluster *real.Cluster, namespace string) {
	t.Helper()
	out, err := cluster.Kubectl(t.Context(), "", "get", "pods,jobs,services,networkpolicies,persistentvolumeclaims,configmaps,secrets", "-n", namespace, "-o", "name")
	must(t, err)
	for line := range strings.FieldsSeq(out) {
		if line != "configmap/kube-root-ca.crt" {
			t.Errorf("left behind: %s", line)
		}
	}
}
