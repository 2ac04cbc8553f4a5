package smoke

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestContainers waits for much of its time, as TestFaults does.
func TestContainers(t *testing.T) {
	t.Parallel()
	var both sync.WaitGroup
	both.Go(func() { t.Run("Docker", dockerContainers) })
	both.Go(func() { t.Run("CRI", criContainers) })
	both.Wait()
}

// containerRuntimeTest is a real runtime on a host of its own.
type containerRuntimeTest struct {
	ContainerOptions
	host   *real.Host
	daemon interface {
		Pause() error
		Resume() error
		Kill() error
	}
	start   func(context.Context) error
	brittle string // while this file is there, the OCI runtime fails

	docker     func(t *testing.T, args ...string) string // nil: this is CRI
	containerd *real.Containerd                          // nil: this is Docker

	// pid is that of the container, or sandbox, of the run under way.
	pid func(t *testing.T, side string) string
	// left lists what is there with a label, running what runs of any run.
	left    func(t *testing.T, label string) string
	running func(t *testing.T) []string
}

func needDocker(t *testing.T, args ...string) *containerRuntimeTest {
	t.Helper()
	host := real.NeedHost(t, real.HostOptions{})
	oci, brittle := brittleRuntime(t, host)
	d := real.NeedDockerd(t, real.DockerdOptions{Host: host, Runtime: oci, ExtraArgs: args})
	docker := func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := d.Docker(t.Context(), args...)
		must(t, err)
		return out
	}
	const ours = "--filter=label=" + untilLabel
	return &containerRuntimeTest{
		ContainerOptions: ContainerOptions{Runtime: Docker, Socket: d.Socket, Paths: collectors.DefaultPaths(), Node: "n1", Binary: filepath.Join(filepath.Dir(imageTar(t)), "grapevine")},
		host:             host, daemon: d, start: d.Start, docker: docker, brittle: brittle,
		pid: func(t *testing.T, side string) string {
			t.Helper()
			id := strings.TrimSpace(docker(t, "ps", "--quiet", ours, "--filter=name=-"+side+"$"))
			return strings.TrimSpace(docker(t, "inspect", "--format={{.State.Pid}}", id))
		},
		left: func(t *testing.T, label string) string {
			t.Helper()
			with := "--filter=label=" + label
			return docker(t, "ps", "--all", "--format=container {{.Names}}", with) +
				docker(t, "network", "ls", "--format=network {{.Name}}", with) + docker(t, "images", "--format=image {{.Tag}}", with)
		},
		running: func(t *testing.T) []string {
			t.Helper()
			return strings.Fields(docker(t, "ps", "--format={{.Names}}", ours))
		},
	}
}

func needContainerd(t *testing.T) *containerRuntimeTest {
	t.Helper()
	host := real.NeedHost(t, real.HostOptions{})
	oci, brittle := brittleRuntime(t, host)
	d := real.NeedContainerd(t, real.ContainerdOptions{Host: host, PodCIDR: podCIDR, Runtime: oci})
	must(t, d.Import(t.Context(), real.Image{Name: DefaultImage, Tar: imageTar(t)}))
	ctr := func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := d.Ctr(t.Context(), args...)
		must(t, err)
		return out
	}
	return &containerRuntimeTest{
		ContainerOptions: ContainerOptions{Runtime: CRI, Socket: d.Socket, Paths: collectors.DefaultPaths(), Node: "n1"},
		host:             host, daemon: d, start: d.Start, containerd: d, brittle: brittle,
		pid: func(t *testing.T, side string) string {
			t.Helper()
			cri, err := collectors.FindCRI(collectors.DefaultPaths(), d.Socket)
			must(t, err)
			defer cri.Close()
			list, err := cri.Runtime.ListPodSandbox(t.Context(), &criv1.ListPodSandboxRequest{Filter: &criv1.PodSandboxFilter{
				State: &criv1.PodSandboxStateValue{State: criv1.PodSandboxState_SANDBOX_READY},
			}})
			must(t, err)
			id := ""
			for _, sandbox := range list.GetItems() {
				if sandbox.GetMetadata().GetName() == "grapevine-smoke-"+side {
					id = sandbox.GetId()
				}
			}
			for line := range strings.Lines(ctr(t, "tasks", "list")) {
				if words := strings.Fields(line); words[0] == id {
					return words[1]
				}
			}
			t.Fatalf("no sandbox %s of %q runs", side, id)
			return ""
		},
		left: func(t *testing.T, label string) string {
			t.Helper()
			key, value, whole := strings.Cut(label, "=")
			filter := `labels."` + key + `"`
			if whole {
				filter += "==" + value
			}
			return ctr(t, "containers", "list", "--quiet", filter)
		},
		running: func(t *testing.T) (ids []string) {
			t.Helper()
			for line := range strings.Lines(ctr(t, "tasks", "list")) {
				if strings.Contains(line, "RUNNING") {
					ids = append(ids, strings.Fields(line)[0])
				}
			}
			return ids
		},
	}
}

const podCIDR = "10.99.0.0/24"

// brittleRuntime is an OCI runtime that fails while a file is there. It
// returns its path and that file's.
func brittleRuntime(t *testing.T, host *real.Host) (runtime, fault string) {
	t.Helper()
	runtime, fault = filepath.Join(host.Dir, "runc"), filepath.Join(host.Dir, "broken")
	script := "#!/bin/sh\nif [ -e " + fault + " ]; then echo 'runc: cannot allocate memory' >&2; exit 1; fi\nexec runc \"$@\"\n"
	must(t, os.WriteFile(runtime, []byte(script), 0o755))
	return runtime, fault
}

// netns runs a command in the network namespace of a container of the run under
// way.
func (c *containerRuntimeTest) netns(t *testing.T, side string, command ...string) {
	t.Helper()
	_, err := c.host.Run(t.Context(), "nsenter", append([]string{"--net=/proc/" + c.pid(t, side) + "/ns/net", "--"}, command...)...)
	must(t, err)
}

// containerSettings are of runs whose containers live far longer than a run
// ever takes.
func containerSettings() Settings {
	s := Default()
	s.Deadline = ample
	return s
}

// leaving is for runs that leave something: later ones remove it when its time
// is up.
func leaving(s Settings) Settings {
	s.Deadline = 30 * time.Second
	return s
}

// faults come when the step of their name has gone well.
type faults map[string]func()

// hasty is the patience of what follows a step, up to the next verdict: where
// that hangs. All else has far more time than it ever takes.
type hasty map[string]time.Duration

// How long to wait for what cannot come: for an answer of a daemon, or for
// clients in containers, half of whose time is for asking.
const (
	noAnswer = 6 * time.Second
	talkLost = 16 * time.Second
)

func (c *containerRuntimeTest) run(t *testing.T, s Settings, meets faults, haste hasty) Report {
	t.Helper()
	r, err := newContainerRun(t.Context(), s, c.ContainerOptions)
	must(t, err)
	r.s.Patience, r.s.Deadline = ample, 4*ample
	r.told = func(step Step) {
		r.s.Patience = ample
		if short := haste[step.Name]; short > 0 {
			r.s.Patience = short
		}
		if fault := meets[step.Name]; fault != nil && step.Status == health.OK {
			fault()
		}
	}
	r.do(t.Context(), true)
	must(t, r.runtime.Close())
	logReport(t, r.report)
	return r.report
}

func logReport(t *testing.T, r Report) {
	t.Helper()
	t.Logf("%v in %.2f s: %s", r.Status, r.Seconds, r.Reason)
	for _, step := range r.Steps {
		t.Logf("   %-8s %-8s %.2f s %s", step.Status, step.Name, step.Seconds, step.Reason)
	}
	for _, note := range r.Notes {
		t.Log("   " + note)
	}
}

// expectRed wants the step, and no other, to be critical, those before it to be
// well, and its reason to hold the texts.
func expectRed(t *testing.T, r Report, red string, texts ...string) {
	t.Helper()
	met := false
	for _, step := range r.Steps {
		want := health.OK
		switch {
		case step.Name == red:
			met, want = true, health.Critical
			for _, text := range texts {
				if !strings.Contains(step.Reason, text) {
					t.Errorf("the reason of %s lacks %q: %s", red, text, step.Reason)
				}
			}
			if len(step.Nodes) == 0 {
				t.Errorf("%s names no node", red)
			}
		case met && step.Status != health.Critical:
			continue
		}
		if step.Status != want {
			t.Errorf("%s is %v, not %v: %s", step.Name, step.Status, want, step.Reason)
		}
	}
	if !met || r.Status != health.Critical {
		t.Errorf("no step %s is red; the run is %v", red, r.Status)
	}
}

func expectGreen(t *testing.T, r Report) {
	t.Helper()
	if r.Status != health.OK || len(r.Leftovers) > 0 {
		t.Errorf("%v, left %v", r.Status, r.Leftovers)
	}
}

func (c *containerRuntimeTest) expectNothingLeft(t *testing.T, r Report) {
	t.Helper()
	if left := c.left(t, containerRunLabel+"="+r.Run); left != "" {
		t.Errorf("left: %s", left)
	}
}

func expectUnknown(t *testing.T, r Report, steps ...string) {
	t.Helper()
	for _, name := range steps {
		if step, ok := r.Step(name); !ok || step.Status != health.Unknown || step.Reason == "" {
			t.Errorf("%s is %v: %s", name, step.Status, step.Reason)
		}
	}
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Minute); !done(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not happen that %s", what)
		}
	}
}

// expectLeftover wants a run to tell what it cannot remove, and to blame the
// step before for that.
func expectLeftover(t *testing.T, r Report) {
	t.Helper()
	expectUnknown(t, r, StepDelete)
	if len(r.Leftovers) == 0 {
		t.Error("what is left is not told")
	}
}
