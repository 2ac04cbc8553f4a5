package smoke

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// containerRuntimeTest is a real runtime on a host of its own.
type containerRuntimeTest struct {
	ContainerOptions
	host   *real.Host
	daemon interface {
		Pause() error
		Resume() error
		Kill() error
	}
	start func(context.Context) error
	// netns runs a command in the network namespace of a container of the run
	// under way.
	netns func(t *testing.T, side string, command ...string)
	// left lists what is there of any run.
	left func(t *testing.T) string
}

func needDocker(t *testing.T) *containerRuntimeTest {
	t.Helper()
	host := real.NeedHost(t, real.HostOptions{})
	d := real.NeedDockerd(t, real.DockerdOptions{Host: host})
	list := func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := d.Docker(t.Context(), append(args, "--filter=label="+untilLabel)...)
		must(t, err)
		return out
	}
	return &containerRuntimeTest{
		ContainerOptions: ContainerOptions{Runtime: Docker, Socket: d.Socket, Paths: collectors.DefaultPaths(), Node: "n1", Binary: filepath.Join(filepath.Dir(imageTar(t)), "grapevine")},
		host:             host, daemon: d, start: d.Start,
		netns: func(t *testing.T, side string, command ...string) {
			t.Helper()
			id := strings.TrimSpace(list(t, "ps", "--quiet", "--filter=name=-"+side+"$"))
			pid, err := d.Docker(t.Context(), "inspect", "--format={{.State.Pid}}", id)
			must(t, err)
			inNetNS(t, host, strings.TrimSpace(pid), command)
		},
		left: func(t *testing.T) string {
			t.Helper()
			return list(t, "ps", "--all", "--format=container {{.Names}}") + list(t, "network", "ls", "--format=network {{.Name}}") + list(t, "images", "--format=image {{.Tag}}")
		},
	}
}

func inNetNS(t *testing.T, host *real.Host, pid string, command []string) {
	t.Helper()
	_, err := host.Run(t.Context(), "nsenter", append([]string{"--net=/proc/" + pid + "/ns/net", "--"}, command...)...)
	must(t, err)
}

func needContainerd(t *testing.T) (*containerRuntimeTest, *real.Containerd) {
	t.Helper()
	host := real.NeedHost(t, real.HostOptions{})
	c := real.NeedContainerd(t, real.ContainerdOptions{Host: host, PodCIDR: "10.99.0.0/24"})
	must(t, c.Import(t.Context(), real.Image{Name: DefaultImage, Tar: imageTar(t)}))
	return &containerRuntimeTest{
		ContainerOptions: ContainerOptions{Runtime: CRI, Socket: c.Socket, Paths: collectors.DefaultPaths(), Node: "n1"},
		host:             host, daemon: c, start: c.Start,
		netns: func(t *testing.T, side string, command ...string) {
			t.Helper()
			ids, err := c.Ctr(t.Context(), "containers", "list", `labels."io.kubernetes.pod.name"==grapevine-smoke-`+side+`,labels."io.cri-containerd.kind"==sandbox`, "--quiet")
			must(t, err)
			tasks, err := c.Ctr(t.Context(), "tasks", "list")
			must(t, err)
			for line := range strings.Lines(tasks) {
				if words := strings.Fields(line); words[0] == strings.TrimSpace(ids) {
					inNetNS(t, host, words[1], command)
					return
				}
			}
			t.Fatalf("no sandbox %s of %q runs: %s", side, ids, tasks)
		},
		left: func(t *testing.T) string {
			t.Helper()
			out, err := c.Ctr(t.Context(), "containers", "list", `labels."io.kubernetes.pod.namespace"==grapevine`, "--quiet")
			must(t, err)
			return out
		},
	}, c
}

func containerSettings() Settings {
	s := Default()
	s.Patience, s.Deadline = 6*time.Second, 40*time.Second
	return s
}

// run makes a run. The faults come when the step of their name has gone well.
func (c *containerRuntimeTest) run(t *testing.T, s Settings, faults map[string]func()) Report {
	t.Helper()
	o := c.ContainerOptions
	o.Told = func(step Step) {
		if fault := faults[step.Name]; fault != nil && step.Status == health.OK {
			fault()
		}
	}
	began := time.Now()
	r, err := RunContainers(t.Context(), s, o)
	must(t, err)
	if took := time.Since(began); took > s.Deadline+s.Patience {
		t.Errorf("a run of %v took %v", s.Deadline, took)
	}
	logReport(t, r)
	return r
}

func logReport(t *testing.T, r Report) {
	t.Helper()
	t.Logf("%v in %.2f s: %s", r.Status, r.Seconds, r.Reason)
	for _, step := range r.Steps {
		t.Logf("   %-8s %-8s %.2f s %s", step.Status, step.Name, step.Seconds, step.Reason)
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

func (c *containerRuntimeTest) expectNothingLeft(t *testing.T) {
	t.Helper()
	if left := c.left(t); left != "" {
		t.Errorf("left: %s", left)
	}
}

func TestDockerContainers(t *testing.T) {
	t.Parallel()
	d := needDocker(t)
	r := d.run(t, containerSettings(), nil)
	expectGreen(t, r)
	d.expectNothingLeft(t)
}

func TestCRIContainers(t *testing.T) {
	t.Parallel()
	c, _ := needContainerd(t)
	r := c.run(t, containerSettings(), nil)
	expectGreen(t, r)
	c.expectNothingLeft(t)
}
