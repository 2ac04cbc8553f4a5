package collectors

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criSteps are the canary's steps, in their order.
var criSteps = []string{"prepare", "run_sandbox", "create", "start", "wait", "remove", "remove_sandbox"}

// planCanary removes what is left of earlier canaries, and finds the images.
func (c *criRuntime) planCanary(ctx context.Context) (steps []canaryStep, removed int, err error) {
	left, err := c.runtime.ListPodSandbox(ctx, &criv1.ListPodSandboxRequest{})
	if err != nil {
		return nil, 0, fmt.Errorf("listing sandboxes: %w", err)
	}
	anyReady := false
	for _, sandbox := range left.GetItems() {
		if sandbox.GetLabels()[canaryLabel] != c.node {
			anyReady = anyReady || sandbox.GetState() == criv1.PodSandboxState_SANDBOX_READY
			continue
		}
		if err := c.removeSandbox(ctx, sandbox.GetId()); err != nil {
			return nil, removed, fmt.Errorf("removing a sandbox of an earlier canary: %w", err)
		}
		removed++
	}
	config, err := c.readConfig(ctx)
	if err != nil {
		return nil, removed, err
	}
	image, err := c.canaryImage(ctx, config.sandboxImage, anyReady)
	if err != nil {
		return nil, removed, err
	}
	return c.canarySteps(image, config), removed, nil
}

// canarySteps makes the steps of one canary.
func (c *criRuntime) canarySteps(image string, config criConfig) []canaryStep {
	sandbox := c.sandboxConfig(config)
	var sandboxID, id string
	return []canaryStep{
		{name: "run_sandbox", run: func(ctx context.Context) error {
			answer, err := c.runtime.RunPodSandbox(ctx, &criv1.RunPodSandboxRequest{Config: sandbox})
			sandboxID = answer.GetPodSandboxId()
			return err
		}},
		{name: "create", run: func(ctx context.Context) error {
			answer, err := c.runtime.CreateContainer(ctx, &criv1.CreateContainerRequest{
				PodSandboxId: sandboxID, Config: c.containerConfig(image), SandboxConfig: sandbox,
			})
			id = answer.GetContainerId()
			return c.blame(ctx, sandboxID, err)
		}},
		{name: "start", run: func(ctx context.Context) error {
			_, err := c.runtime.StartContainer(ctx, &criv1.StartContainerRequest{ContainerId: id})
			return c.blame(ctx, sandboxID, err)
		}},
		{name: "wait", run: func(ctx context.Context) error {
			return c.blame(ctx, sandboxID, c.waitContainer(ctx, id))
		}},
		{name: "remove", clears: true, run: func(ctx context.Context) error {
			if id == "" {
				return nil
			}
			return again(ctx, func() error {
				_, err := c.runtime.RemoveContainer(ctx, &criv1.RemoveContainerRequest{ContainerId: id})
				return err
			})
		}},
		{name: "remove_sandbox", clears: true, run: func(ctx context.Context) error {
			if sandboxID == "" {
				return nil
			}
			return c.removeSandbox(ctx, sandboxID)
		}},
	}
}

// disturbedWithin is how long after an error the sandbox is watched: whoever
// ends it kills its processes first, and its state tells only afterwards.
const disturbedWithin = 2 * time.Second

// blame tells an error of the runtime from one that comes of somebody else's
// ending the sandbox: the kubelet does that to what it does not know.
func (c *criRuntime) blame(ctx context.Context, sandboxID string, err error) error {
	if err == nil {
		return nil
	}
	watching, cancel := context.WithTimeout(ctx, disturbedWithin)
	defer cancel()
	for watching.Err() == nil {
		answer, stateErr := c.runtime.PodSandboxStatus(watching, &criv1.PodSandboxStatusRequest{PodSandboxId: sandboxID})
		ended := stateErr == nil && answer.GetStatus().GetState() == criv1.PodSandboxState_SANDBOX_NOTREADY
		if ended || status.Code(stateErr) == codes.NotFound || status.Code(err) == codes.NotFound {
			return canaryDisturbed{err}
		}
		linger(watching, 100*time.Millisecond)
	}
	return err
}

// linger waits, or until ctx ends.
func linger(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (c *criRuntime) removeSandbox(ctx context.Context, id string) error {
	return again(ctx, func() error {
		if _, err := c.runtime.StopPodSandbox(ctx, &criv1.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
			return err
		}
		_, err := c.runtime.RemovePodSandbox(ctx, &criv1.RemovePodSandboxRequest{PodSandboxId: id})
		return err
	})
}

// again tries to remove something a second time: while somebody else removes
// it too, the runtime may answer with an error. What is gone is removed.
func again(ctx context.Context, remove func() error) error {
	err := remove()
	if err != nil && ctx.Err() == nil {
		linger(ctx, 500*time.Millisecond)
		err = remove()
	}
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

// sandboxConfig is a sandbox on the host's network: whether pods get one of
// their own is told by NetworkReady, and probed by the check overlay.
func (c *criRuntime) sandboxConfig(config criConfig) *criv1.PodSandboxConfig {
	parent := ""
	if config.systemdCgroup {
		parent = "system.slice" // a path of the other driver's kind is refused
	}
	return &criv1.PodSandboxConfig{
		Metadata: &criv1.PodSandboxMetadata{Name: "grapevine-canary", Namespace: "grapevine", Uid: rand.Text()},
		Labels:   map[string]string{canaryLabel: c.node},
		Linux: &criv1.LinuxPodSandboxConfig{
			CgroupParent: parent,
			SecurityContext: &criv1.LinuxSandboxSecurityContext{
				NamespaceOptions: &criv1.NamespaceOption{Network: criv1.NamespaceMode_NODE, Pid: criv1.NamespaceMode_CONTAINER},
			},
		},
	}
}

// containerConfig is a container that may do as little as possible.
func (c *criRuntime) containerConfig(image string) *criv1.ContainerConfig {
	return &criv1.ContainerConfig{
		Metadata: &criv1.ContainerMetadata{Name: "canary"},
		Image:    &criv1.ImageSpec{Image: image},
		Command:  c.settings.Canary.Command,
		Labels:   map[string]string{canaryLabel: c.node},
		Linux: &criv1.LinuxContainerConfig{
			Resources: &criv1.LinuxContainerResources{},
			SecurityContext: &criv1.LinuxContainerSecurityContext{
				Capabilities:     &criv1.Capability{DropCapabilities: []string{"ALL"}},
				NamespaceOptions: &criv1.NamespaceOption{Network: criv1.NamespaceMode_NODE, Pid: criv1.NamespaceMode_CONTAINER},
				ReadonlyRootfs:   true,
				NoNewPrivs:       true,
			},
		},
	}
}

// killedBySignal are the exit codes of SIGKILL and SIGTERM, which is how the
// kubelet ends it; that does not speak against the runtime.
var killedBySignal = []int32{137, 143}

// waitContainer waits until the runtime has noticed that the container ended,
// and wants it to have ended well.
func (c *criRuntime) waitContainer(ctx context.Context, id string) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		answer, err := c.runtime.ContainerStatus(ctx, &criv1.ContainerStatusRequest{ContainerId: id})
		if err != nil {
			return err
		}
		if s := answer.GetStatus(); s.GetState() == criv1.ContainerState_CONTAINER_EXITED {
			if s.GetExitCode() == 0 || slices.Contains(killedBySignal, s.GetExitCode()) {
				return nil
			}
			return fmt.Errorf("the container ended with exit code %d: %s %s", s.GetExitCode(), s.GetReason(), s.GetMessage())
		}
		linger(ctx, pause)
	}
}
