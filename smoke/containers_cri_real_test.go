package smoke

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

func criContainers(t *testing.T) {
	c := needContainerd(t)
	s := containerSettings()
	network := filepath.Join(c.containerd.CNIDir, "10-pods.conflist")

	t.Run("well", func(t *testing.T) {
		r := c.run(t, s, map[string]func(){StepRuntime: func() {
			if c.left(t, untilLabel) == "" || c.running(t) == "" {
				t.Error("nothing is found while the run is under way")
			}
		}})
		expectGreen(t, r)
		c.expectNothingLeft(t, r)
	})

	// Before all that leaves sandboxes without a server, which nobody ends.
	t.Run("the runner is killed", func(t *testing.T) {
		c.kill(t, StepStart, StepRuntime, StepExec, StepOverUDP)
		c.expectEnded(t)
	})

	t.Run("what is sent one way is lost", func(t *testing.T) {
		r := c.run(t, s, map[string]func(){StepExec: func() {
			c.netns(t, "a", "iptables", "--append", "OUTPUT", "--out-interface", "eth0", "--jump", "DROP")
		}})
		expectRed(t, r, StepOverTCP, "from container a to b: ", "what a sends does not arrive at b", "from container b to a: ")
		c.expectNothingLeft(t, r)
	})

	t.Run("the bridge is down", func(t *testing.T) {
		r := c.run(t, s, map[string]func(){StepExec: func() {
			_, err := c.host.Run(t.Context(), "ip", "link", "set", "cni0", "down")
			must(t, err)
		}})
		expectRed(t, r, StepOverTCP, "from container a to b: ", "from container b to a: ")
		c.expectNothingLeft(t, r)
	})

	t.Run("the network's plugin fails", func(t *testing.T) {
		must(t, c.containerd.ConfigureNetwork("10.99.0.0/31")) // no room for any pod
		// The runtime needs a moment to see it.
		var r Report
		until(t, "the network step is red", func() bool {
			r = c.run(t, s, nil)
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
			r = c.run(t, s, nil)
			step, _ := r.Step(StepNetwork)
			return strings.Contains(step.Reason, "cni plugin not initialized")
		})
		expectRed(t, r, StepNetwork, "cannot make a sandbox: ", "cni plugin not initialized")
		must(t, c.containerd.ConfigureNetwork(podCIDR))
		until(t, "the run is well again", func() bool { return c.run(t, s, nil).Status == health.OK })
	})

	t.Run("no sandbox can be made", func(t *testing.T) {
		must(t, os.WriteFile(c.brittle, nil, 0o600))
		r := c.run(t, s, nil)
		expectRed(t, r, StepSandbox, "cannot make a sandbox: ", "did not terminate successfully")
		must(t, os.Remove(c.brittle))
		c.expectNothingLeft(t, r)
	})

	t.Run("no container can be started", func(t *testing.T) {
		r := c.run(t, s, map[string]func(){StepCreate: func() { must(t, os.WriteFile(c.brittle, nil, 0o600)) }})
		must(t, os.Remove(c.brittle))
		expectRed(t, r, StepStart, "cannot start a container: ", "did not terminate successfully")
		expectLeftover(t, r)
	})

	t.Run("the image is absent", func(t *testing.T) {
		missing := s
		missing.Image = "docker.io/grapevine/other:1"
		expectRed(t, c.run(t, missing, nil), StepImage, "the runtime has no image docker.io/grapevine/other:1; grapevine smoke-image prints one, ctr -n k8s.io images import - loads it")
	})

	t.Run("the runtime hangs", func(t *testing.T) {
		r := c.run(t, s, map[string]func(){StepImage: func() { must(t, c.daemon.Pause()) }})
		expectRed(t, r, StepSandbox, "hangs: its socket takes connections, but sandbox was not answered within")
		expectUnknown(t, r, StepDelete)
		must(t, c.daemon.Resume())
	})

	t.Run("the runtime is killed", func(t *testing.T) {
		r := c.run(t, s, map[string]func(){StepStart: func() { must(t, c.daemon.Kill()) }})
		expectRed(t, r, StepRuntime, "is down: nothing listens at its socket (connection refused)")
		expectUnknown(t, r, StepDelete)
		must(t, c.start(t.Context()))
		until(t, "the runtime is well again", func() bool { return c.run(t, s, nil).Status == health.OK })
	})

	t.Run("the runner is interrupted", func(t *testing.T) {
		c.interrupt(t, StepSandbox)
		c.interrupt(t, StepRuntime)
	})

	t.Run("the runner is killed before there are servers", func(t *testing.T) {
		c.kill(t, StepAnswer, StepImage, StepSandbox, StepNetwork, StepCreate)
		c.expectSwept(t)
	})
}

// The kubelet ends sandboxes that it does not know: that is no fault of the
// runtime's.
func TestCRIContainersBesideKubelet(t *testing.T) {
	t.Parallel()
	node := real.NeedCluster(t, real.ClusterOptions{}).Nodes[0]
	must(t, node.Containerd.Import(t.Context(), real.Image{Name: DefaultImage, Tar: imageTar(t)}))
	c := &containerRuntimeTest{ContainerOptions: ContainerOptions{Runtime: CRI, Socket: node.Containerd.Socket, Node: node.Name}}
	for range 5 {
		r := c.run(t, containerSettings(), nil)
		if r.Status != health.OK && r.Status != health.Unknown {
			t.Errorf("the kubelet is taken for a fault: %s", r.Reason)
		}
		if len(r.Leftovers) > 0 {
			t.Errorf("left: %v", r.Leftovers)
		}
	}
}
