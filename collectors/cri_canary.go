package collectors

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criSteps are the canary's steps, in their order.
var criSteps = []string{"prepare", "run_sandbox", "create", "start", "wait", "remove", "remove_sandbox"}

// planCanary removes what is left of earlier canaries, and finds the images.
func (c *criRuntime) planCanary(ctx context.Context) (steps []canaryStep, removed int, err error) {
	left, err := c.Runtime.ListPodSandbox(ctx, &criv1.ListPodSandboxRequest{})
	if err != nil {
		return nil, 0, fmt.Errorf("listing sandboxes: %w", err)
	}
	anyReady := false
	for _, sandbox := range left.GetItems() {
		if sandbox.GetLabels()[canaryLabel] != c.node {
			anyReady = anyReady || sandbox.GetState() == criv1.PodSandboxState_SANDBOX_READY
			continue
		}
		if err := c.RemoveSandbox(ctx, sandbox.GetId()); err != nil {
			return nil, removed, fmt.Errorf("removing a sandbox of an earlier canary: %w", err)
		}
		removed++
	}
	config, err := c.ReadConfig(ctx)
	if err != nil {
		return nil, removed, err
	}
	image, err := c.FindImage(ctx, c.settings.Canary.Image, "canary-image", config, anyReady)
	if err != nil {
		return nil, removed, err
	}
	return c.canarySteps(image, config), removed, nil
}

// canarySteps makes the steps of one canary.
func (c *criRuntime) canarySteps(image string, config CRIConfig) []canaryStep {
	sandbox := c.sandboxConfig(config)
	var sandboxID, id string
	return []canaryStep{
		{name: "run_sandbox", run: func(ctx context.Context) error {
			answer, err := c.Runtime.RunPodSandbox(ctx, &criv1.RunPodSandboxRequest{Config: sandbox})
			sandboxID = answer.GetPodSandboxId()
			return err
		}},
		{name: "create", run: func(ctx context.Context) error {
			answer, err := c.Runtime.CreateContainer(ctx, &criv1.CreateContainerRequest{
				PodSandboxId: sandboxID, Config: c.containerConfig(image), SandboxConfig: sandbox,
			})
			id = answer.GetContainerId()
			return c.blame(ctx, sandboxID, err)
		}},
		{name: "start", run: func(ctx context.Context) error {
			_, err := c.Runtime.StartContainer(ctx, &criv1.StartContainerRequest{ContainerId: id})
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
				_, err := c.Runtime.RemoveContainer(ctx, &criv1.RemoveContainerRequest{ContainerId: id})
				return err
			})
		}},
		{name: "remove_sandbox", clears: true, run: func(ctx context.Context) error {
			if sandboxID == "" {
				return nil
			}
			return c.RemoveSandbox(ctx, sandboxID)
		}},
	}
}

// blame marks an error that comes of somebody else's ending the sandbox.
func (c *criRuntime) blame(ctx context.Context, sandboxID string, err error) error {
	if err != nil && c.Disturbed(ctx, sandboxID, err) {
		return canaryDisturbed{err}
	}
	return err
}

// sandboxConfig is a sandbox on the host's network: whether pods get one of
// their own is told by NetworkReady, and probed by the check overlay.
func (c *criRuntime) sandboxConfig(config CRIConfig) *criv1.PodSandboxConfig {
	return &criv1.PodSandboxConfig{
		Metadata: &criv1.PodSandboxMetadata{Name: "grapevine-canary", Namespace: "grapevine", Uid: rand.Text()},
		Labels:   map[string]string{canaryLabel: c.node},

		LogDirectory: CRILogs,
		Linux: &criv1.LinuxPodSandboxConfig{
			CgroupParent: config.CgroupParent(),
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
		LogPath:  "grapevine-canary.log",
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
		answer, err := c.Runtime.ContainerStatus(ctx, &criv1.ContainerStatusRequest{ContainerId: id})
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
