package smoke

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// criLogs are those that the runtime keeps of its containers.
func (c *containerRuntimeTest) criLogs(t *testing.T) (paths []string) {
	t.Helper()
	cri, err := collectors.FindCRI(collectors.DefaultPaths(), c.Socket)
	must(t, err)
	defer cri.Close()
	list, err := cri.Runtime.ListContainers(t.Context(), &criv1.ListContainersRequest{})
	must(t, err)
	for _, container := range list.GetContainers() {
		answer, err := cri.Runtime.ContainerStatus(t.Context(), &criv1.ContainerStatusRequest{ContainerId: container.GetId()})
		must(t, err)
		paths = append(paths, answer.GetStatus().GetLogPath())
	}
	slices.Sort(paths)
	return paths
}

func criContainers(t *testing.T) {
	c := needContainerd(t)
	s := containerSettings()
	network := filepath.Join(c.containerd.CNIDir, "10-pods.conflist")

	t.Run("well", func(t *testing.T) {
		r := c.run(t, s, faults{StepRuntime: func() {
			if c.left(t, untilLabel) == "" || len(c.running(t)) == 0 {
				t.Error("nothing is found while the run is under way")
			}
			// Or the kubelet would take all that is in the root directory for it.
			if logs := c.criLogs(t); !slices.Equal(logs, []string{"/run/grapevine-smoke-a.log", "/run/grapevine-smoke-b.log"}) {
				t.Errorf("the logs of its containers are %q", logs)
			}
		}}, nil)
		expectGreen(t, r)
		c.expectNothingLeft(t, r)
	})

	t.Run("what is sent one way is lost", func(t *testing.T) {
		r := c.run(t, s, faults{StepExec: func() {
			c.netns(t, "a", "iptables", "--append", "OUTPUT", "--out-interface", "eth0", "--jump", "DROP")
		}}, hasty{StepExec: talkLost})
		expectRed(t, r, StepOverTCP, "from container a to b: ", "what a sends does not arrive at b", "from container b to a: ")
		c.expectNothingLeft(t, r)
	})

	t.Run("the bridge is down", func(t *testing.T) {
		r := c.run(t, s, faults{StepExec: func() {
			_, err := c.host.Run(t.Context(), "ip", "link", "set", "cni0", "down")
			must(t, err)
		}}, hasty{StepExec: talkLost})
		expectRed(t, r, StepOverTCP, "from container a to b: ", "from container b to a: ")
		c.expectNothingLeft(t, r)
	})

	t.Run("the network's plugin fails", func(t *testing.T) {
		must(t, c.containerd.ConfigureNetwork("10.99.0.0/31")) // no room for any pod
		// The runtime needs a moment to see it.
		var r Report
		until(t, "the network step is red", func() bool {
			r = c.run(t, leaving(s), nil, hasty{StepNetwork: noAnswer})
			step, _ := r.Step(StepNetwork)
			return step.Status == health.Critical
		})
		expectRed(t, r, StepNetwork, "cannot make a sandbox: ", "failed to setup network for sandbox")
		// This runtime removes no sandbox without its network's plugin.
		expectLeftover(t, r)
	})

	t.Run("there is no network", func(t *testing.T) {
		must(t, os.Remove(network))
		var r Report
		until(t, "another step is red", func() bool {
			r = c.run(t, leaving(s), nil, hasty{StepNetwork: noAnswer})
			step, _ := r.Step(StepNetwork)
			return strings.Contains(step.Reason, "cni plugin not initialized")
		})
		expectRed(t, r, StepNetwork, "cannot make a sandbox: ", "cni plugin not initialized")
		must(t, c.containerd.ConfigureNetwork(podCIDR))
		until(t, "the run is well again", func() bool { return c.run(t, s, nil, nil).Status == health.OK })
	})

	t.Run("no sandbox can be made", func(t *testing.T) {
		must(t, os.WriteFile(c.brittle, nil, 0o600))
		r := c.run(t, s, nil, nil)
		expectRed(t, r, StepSandbox, "cannot make a sandbox: ", "did not terminate successfully")
		must(t, os.Remove(c.brittle))
		c.expectNothingLeft(t, r)
	})

	t.Run("no container can be started", func(t *testing.T) {
		r := c.run(t, leaving(s), faults{StepCreate: func() { must(t, os.WriteFile(c.brittle, nil, 0o600)) }}, hasty{StepStart: noAnswer})
		must(t, os.Remove(c.brittle))
		expectRed(t, r, StepStart, "cannot start a container: ", "did not terminate successfully")
		expectLeftover(t, r)
	})

	t.Run("the image is absent", func(t *testing.T) {
		missing := s
		missing.Image = "docker.io/grapevine/other:1"
		expectRed(t, c.run(t, missing, nil, nil), StepImage, "the runtime has no image docker.io/grapevine/other:1; grapevine smoke-image prints one, ctr -n k8s.io images import - loads it")
	})

	t.Run("the runtime hangs", func(t *testing.T) {
		r := c.run(t, leaving(s), faults{StepImage: func() { must(t, c.daemon.Pause()) }}, hasty{StepImage: noAnswer})
		expectRed(t, r, StepSandbox, "hangs: its socket takes connections, but sandbox was not answered within")
		expectUnknown(t, r, StepDelete)
		must(t, c.daemon.Resume())
	})

	t.Run("the runtime is killed", func(t *testing.T) {
		r := c.run(t, leaving(s), faults{StepStart: func() { must(t, c.daemon.Kill()) }}, nil)
		expectRed(t, r, StepRuntime, "is down: nothing listens at its socket (connection refused)")
		expectUnknown(t, r, StepDelete)
		must(t, c.start(t.Context()))
		until(t, "the runtime is well again", func() bool { return c.run(t, s, nil, nil).Status == health.OK })
	})

	t.Run("the runner is interrupted", func(t *testing.T) {
		c.interrupt(t, StepSandbox)
		c.interrupt(t, StepRuntime)
	})

	// Some leave sandboxes without a server, which nobody ends but later runs.
	t.Run("the runner is killed", func(t *testing.T) {
		serving := c.kill(t, StepStart, StepRuntime, StepExec, StepOverUDP)
		c.kill(t, StepAnswer, StepImage, StepSandbox, StepNetwork, StepCreate)
		c.expectEnded(t, serving)
		c.expectSwept(t)
	})
}
