package smoke

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

// ample is far more time than a step ever takes: this machine may have none
// left for it.
const ample = 90 * time.Second

// in is the settings of runs in a namespace of their own.
func in(namespace string) Settings {
	s := Default()
	s.Namespace, s.Patience, s.Deadline, s.Interval = namespace, ample, 4*ample, time.Hour
	return s
}

// hooks change a run under way, after the verdict on the step of that name.
type hooks map[string]func(*run)

// patience is for what follows, where that hangs.
func patience(d time.Duration) func(*run) { return func(r *run) { r.s.Patience = d } }

// talkInVain is for clients that get no answer, or not the one they want.
func talkInVain(r *run) { r.talk = 10 * time.Second }

// calm ends what the others have begun.
func calm(r *run) { r.s.Patience, r.talk = ample, ample*4/10 }

// makeRun makes a run and logs it.
func makeRun(ctx context.Context, t *testing.T, c *Client, s Settings, o Options) Report {
	t.Helper()
	return makeRunWith(ctx, t, c, s, o, nil)
}

func makeRunWith(ctx context.Context, t *testing.T, c *Client, s Settings, o Options, after hooks) Report {
	t.Helper()
	must(t, s.Validate())
	r := newRun(ctx, c, s, o)
	r.told = func(step Step) {
		t.Logf("%-8s %-8s %5.2fs %s", step.Status, step.Name, step.Seconds, step.Reason)
		if o.Told != nil {
			o.Told(step)
		}
		if after[step.Name] != nil {
			after[step.Name](r)
		}
	}
	report := r.do(ctx)
	t.Logf("%s: %s; nodes %v, skipped %v, notes %v, swept %v, leftovers %v, %.1f s", report.Status, report.Reason,
		report.Nodes, report.Skipped, report.Notes, report.Swept, report.Leftovers, report.Seconds)
	return report
}

// soon wants runs to take no longer than that. Where others have all of this
// machine's time, one of several does.
func soon(t *testing.T, most time.Duration, run func() Report) {
	t.Helper()
	fastest := time.Hour
	for i := 0; i < 8 && fastest > most; i++ {
		r := run()
		fastest = min(fastest, time.Duration(r.Seconds*float64(time.Second)))
	}
	if fastest > most {
		t.Errorf("the fastest run took %v", fastest)
	}
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
	all, err := made(t.Context(), cluster)
	must(t, err)
	if left := all[namespace]; left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// made tells by namespace what is there that a run may have made, or that was
// made for that. It is asked often, and kubectl would take a machine's time.
func made(ctx context.Context, cluster *real.Cluster) (map[string]string, error) {
	all := map[string]string{}
	for _, kind := range []string{
		"api/v1/pods", "api/v1/services", "api/v1/persistentvolumeclaims", "api/v1/configmaps", "api/v1/secrets",
		"apis/batch/v1/jobs", "apis/networking.k8s.io/v1/networkpolicies", "apis/discovery.k8s.io/v1/endpointslices",
	} {
		var list struct {
			Items []struct {
				Metadata struct{ Namespace, Name string }
			}
		}
		if err := cluster.APIServer.Get(ctx, "/"+kind, &list); err != nil {
			return nil, err
		}
		for _, o := range list.Items {
			if o.Metadata.Name != "kube-root-ca.crt" {
				all[o.Metadata.Namespace] += path.Base(kind) + "/" + o.Metadata.Name + " "
			}
		}
	}
	return all, nil
}
