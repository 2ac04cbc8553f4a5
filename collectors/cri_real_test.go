package collectors

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

const criTimeout = 20 * time.Second

// newCRICheck is the check of one runtime, whose canary runs each time.
func newCRICheck(t *testing.T, socket, mode string) *criCheck {
	t.Helper()
	s := defaultCRISettings()
	s.Sockets, s.Canary.Mode = []string{socket}, mode
	c := newCheck(t, s).(*criCheck)
	c.runtimes[0].canary.settings.Interval = 0
	return c
}

// importCanary gives the runtime the image that grapevine canary-image prints.
func importCanary(t *testing.T, runtime *real.Containerd) {
	t.Helper()
	image, err := OpenCanaryImage(staticBinary(t, ""))
	must(t, err)
	defer func() { must(t, image.Close()) }()
	archive := filepath.Join(t.TempDir(), "canary.tar")
	f, err := os.Create(archive)
	must(t, err)
	must(t, image.Write(f))
	must(t, f.Close())
	must(t, runtime.Import(t.Context(), real.Image{Name: image.Name, Tar: archive}))
}

// expectNothingLeft fails when the runtime has sandboxes or containers.
func expectNothingLeft(t *testing.T, c *criCheck) {
	t.Helper()
	sandboxes, err := c.runtimes[0].Runtime.ListPodSandbox(t.Context(), &criv1.ListPodSandboxRequest{})
	must(t, err)
	containers, err := c.runtimes[0].Runtime.ListContainers(t.Context(), &criv1.ListContainersRequest{})
	must(t, err)
	if len(sandboxes.Items)+len(containers.Containers) > 0 {
		t.Errorf("left: %v, %v", sandboxes.Items, containers.Containers)
	}
}

func TestCRIRunning(t *testing.T) {
	t.Parallel()
	runtime := real.NeedContainerd(t, real.ContainerdOptions{PodCIDR: "10.99.0.0/24"})
	socket := runtime.Socket
	check := newCRICheck(t, socket, "auto")

	t.Run("without an image the canary is off, and that is fine", func(t *testing.T) {
		s := run(t, check, criTimeout)
		s.expect(t, socket, health.OK, "the canary is off: the runtime has no image docker.io/grapevine/canary")
		if s.value(t, &criCanaryMetrics.Enabled, socket) != 0 || s.has(&criCanaryMetrics.Success) {
			t.Error("the canary is on")
		}
		for _, condition := range criNeeded {
			if s.value(t, &criCondition, socket, condition) != 1 {
				t.Errorf("%s is false", condition)
			}
		}
		s = run(t, newCRICheck(t, socket, "on"), criTimeout)
		s.expect(t, socket, health.Unknown, "cannot be tried with a container: the runtime has no image", "grapevine canary-image")
	})

	importCanary(t, runtime)
	t.Run("canary", func(t *testing.T) {
		s := run(t, check, criTimeout)
		s.expect(t, socket, health.OK)
		for _, step := range criSteps {
			took := s.value(t, &criCanaryMetrics.StepDuration, socket, step)
			if took <= 0 || s.value(t, &criCanaryMetrics.StepSuccess, socket, step) != 1 {
				t.Errorf("step %s", step)
			}
			t.Logf("%-14s %.3f s", step, took)
		}
		if s.value(t, &criCanaryMetrics.Success, socket) != 1 || s.value(t, &criCanaryMetrics.Leftovers, socket) != 0 {
			t.Error("the canary is not well")
		}
		expectNothingLeft(t, check)
	})

	// The kubelet takes a container without a log for one whose logs are all
	// that is in the root directory, and removes them with it.
	t.Run("its container has a log of its own", func(t *testing.T) {
		r := check.runtimes[0]
		steps, _, err := r.planCanary(t.Context())
		must(t, err)
		for _, step := range steps {
			must(t, step.run(t.Context()))
			if step.name == "create" {
				list, err := r.Runtime.ListContainers(t.Context(), &criv1.ListContainersRequest{})
				must(t, err)
				for _, c := range list.GetContainers() {
					answer, err := r.Runtime.ContainerStatus(t.Context(), &criv1.ContainerStatusRequest{ContainerId: c.GetId()})
					must(t, err)
					if path := answer.GetStatus().GetLogPath(); path != "/run/grapevine-canary.log" {
						t.Errorf("its log is %q", path)
					}
				}
			}
		}
		expectNothingLeft(t, check)
	})

	t.Run("images", func(t *testing.T) {
		check := newCRICheck(t, socket, "off")
		s := run(t, check, criTimeout)
		until(t, "the runtime has looked at its images", func() bool {
			check.runtimes[0].usageAt = time.Time{}
			s = run(t, check, criTimeout)
			return check.runtimes[0].usage[0].GetUsedBytes().GetValue() > 0
		})
		point := check.runtimes[0].usage[0].GetFsId().GetMountpoint()
		if s.value(t, &criImageBytes, socket, point) <= 0 || s.value(t, &criImageInodes, socket, point) <= 0 {
			t.Error("images take no room")
		}
		ratio := s.value(t, &criImageUsage, socket, point)
		check.runtimes[0].settings.Thresholds.ImageUsage = Limits{Warning: ratio / 2}
		s = run(t, check, criTimeout)
		s.expect(t, socket, health.Warning, "keeps its images at "+point, "% full")
	})

	t.Run("leftovers are removed, and nothing else", func(t *testing.T) {
		r := check.runtimes[0]
		var kept string
		for _, owner := range []string{r.node, "other"} {
			config := r.sandboxConfig(CRIConfig{})
			config.Labels[canaryLabel] = owner
			answer, err := r.Runtime.RunPodSandbox(t.Context(), &criv1.RunPodSandboxRequest{Config: config})
			must(t, err)
			kept = answer.GetPodSandboxId()
		}
		s := run(t, check, criTimeout)
		s.expect(t, socket, health.OK)
		if got := s.value(t, &criCanaryMetrics.Leftovers, socket); got != 1 {
			t.Errorf("%v leftovers removed", got)
		}
		must(t, r.RemoveSandbox(t.Context(), kept)) // it is there
		expectNothingLeft(t, check)
	})

	t.Run("the kubelet ends the sandbox in between", func(t *testing.T) {
		r := check.runtimes[0]
		kubelet := &impatientKubelet{RuntimeServiceClient: r.Runtime, kills: maxCanaryDisturbed}
		r.Runtime = kubelet
		for range maxCanaryDisturbed + 1 {
			run(t, check, criTimeout).expect(t, socket, health.OK)
		}
		kubelet.kills = 100
		for range maxCanaryDisturbed {
			run(t, check, criTimeout)
		}
		s := run(t, check, criTimeout)
		s.expect(t, socket, health.Warning, "is too slow for the canary: 4 times in a row", `before the step "create" was done`)
		kubelet.late.wait()
		r.Runtime = kubelet.RuntimeServiceClient
		r.canary.next = time.Time{}
		run(t, check, criTimeout).expect(t, socket, health.OK)
		expectNothingLeft(t, check)
	})

	t.Run("nothing is ever pulled", func(t *testing.T) {
		config, err := check.runtimes[0].ReadConfig(t.Context())
		if err != nil || config.sandboxImage != real.PauseImage || config.systemdCgroup {
			t.Errorf("%+v, %v", config, err)
		}
		_, err = runtime.Ctr(t.Context(), "images", "rm", real.PauseImage)
		must(t, err)
		until(t, "the canary is off", func() bool {
			return strings.Contains(run(t, check, criTimeout).results[socket].Reason, "has not got its sandbox image "+real.PauseImage)
		})
		pause, err := real.WriteImage(t.Context(), t.TempDir(), real.PauseImage, nil)
		must(t, err)
		must(t, runtime.Import(t.Context(), pause))
		until(t, "the canary is on", func() bool {
			s := run(t, check, criTimeout)
			return s.value(t, &criCanaryMetrics.Enabled, socket) == 1 && s.results[socket].Status == health.OK
		})
	})

	t.Run("network lost", func(t *testing.T) {
		must(t, os.Remove(filepath.Join(runtime.CNIDir, "10-pods.conflist")))
		until(t, "it says so", func() bool {
			return run(t, check, criTimeout).results[socket].Status == health.Critical
		})
		s := run(t, check, criTimeout)
		s.expect(t, socket, health.Critical, "has no network for pods: NetworkReady is false", "cni plugin not initialized")
		if s.value(t, &criCondition, socket, criv1.NetworkReady) != 0 || s.value(t, &criCondition, socket, criv1.RuntimeReady) != 1 {
			t.Error("conditions")
		}
		if s.value(t, &criCanaryMetrics.Success, socket) != 1 {
			t.Error("the canary needs no pod network")
		}
		must(t, runtime.ConfigureNetwork("10.99.0.0/24"))
		until(t, "it is back", func() bool {
			return run(t, check, criTimeout).results[socket].Status == health.OK
		})
	})

	t.Run("hung is told apart from dead", func(t *testing.T) {
		must(t, runtime.Pause())
		for _, c := range []*criCheck{check, newCRICheck(t, socket, "auto")} { // with a connection and without
			s := run(t, c, 2*time.Second)
			for s.value(t, &criSuccess, socket, "version") == 1 { // not all of its threads have stopped
				s = run(t, c, 2*time.Second)
			}
			s.expect(t, socket, health.Critical, "hangs: its socket takes connections, but version was not answered within")
			if s.value(t, &criUp, socket) != 0 || s.value(t, &criCondition, socket, criv1.RuntimeReady) != 0 {
				t.Error("up")
			}
		}
		must(t, runtime.Resume())
		until(t, "it is well again", func() bool {
			return run(t, check, criTimeout).results[socket].Status == health.OK
		})
		must(t, runtime.Kill())
		until(t, "it is seen dead", func() bool {
			return strings.Contains(run(t, check, criTimeout).results[socket].Reason, "is down: nothing listens at its socket (connection refused)")
		})
		s := run(t, check, criTimeout)
		s.expect(t, socket, health.Critical, "is down")
		if s.value(t, &criUp, socket) != 0 || s.value(t, &criCanaryMetrics.Success, socket) != 0 {
			t.Error("a dead runtime's canary sings")
		}
		must(t, runtime.Start(t.Context()))
		until(t, "it is back", func() bool {
			return run(t, check, criTimeout).results[socket].Status == health.OK
		})
		expectNothingLeft(t, check)
	})
}

// impatientKubelet ends sandboxes before a container is made in them, as the
// real one does to those it does not know.
type impatientKubelet struct {
	criv1.RuntimeServiceClient
	kills int
	late  parallel // the sandbox still looks ready when the runtime fails
}

func (k *impatientKubelet) CreateContainer(ctx context.Context, r *criv1.CreateContainerRequest, o ...grpc.CallOption) (*criv1.CreateContainerResponse, error) {
	if k.kills == 0 {
		return k.RuntimeServiceClient.CreateContainer(ctx, r, o...)
	}
	k.kills--
	k.late.run(func() {
		time.Sleep(200 * time.Millisecond)
		_, _ = k.StopPodSandbox(context.WithoutCancel(ctx), &criv1.StopPodSandboxRequest{PodSandboxId: r.PodSandboxId})
	})
	return nil, errors.New("namespace path: no such file or directory")
}

func TestCRIBrokenRuntime(t *testing.T) {
	t.Parallel()
	host := real.NeedHost(t, real.HostOptions{})
	oci, fault := brittleRuntime(t, host)
	runtime := real.NeedContainerd(t, real.ContainerdOptions{Host: host, PodCIDR: "10.99.0.0/24", Runtime: oci})
	importCanary(t, runtime)
	check, socket := newCRICheck(t, runtime.Socket, "on"), runtime.Socket
	run(t, check, criTimeout).expect(t, socket, health.OK)

	must(t, os.WriteFile(fault, nil, 0o600))
	s := run(t, check, criTimeout)
	s.expect(t, socket, health.Critical, `cannot run a container: the step "run_sandbox" failed after`, "did not terminate successfully")
	if s.value(t, &criCanaryMetrics.StepSuccess, socket, "create") != 0 || s.value(t, &criUp, socket) != 1 {
		t.Error("the runtime is up, its canary is dead")
	}

	must(t, os.Remove(fault))
	until(t, "it runs containers again", func() bool {
		check.runtimes[0].canary.next = time.Time{}
		return run(t, check, criTimeout).results[socket].Status == health.OK
	})
	expectNothingLeft(t, check)
}
