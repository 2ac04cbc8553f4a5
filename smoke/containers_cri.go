package smoke

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// criRuntime makes the sandboxes and containers of one run by CRI.
type criRuntime struct {
	*collectors.CRI
	bounds
	s    Settings
	task Task

	config     collectors.CRIConfig
	image      string // id
	sandboxes  [2]string
	configs    [2]*criv1.PodSandboxConfig
	containers [2]string
	addresses  [2]netip.Addr
}

func openCRI(s Settings, o ContainerOptions, task Task, b bounds) (*criRuntime, error) {
	cri, err := collectors.FindCRI(o.Paths, o.Socket)
	if err != nil {
		return nil, err
	}
	task.EndSandbox = true
	return &criRuntime{CRI: cri, bounds: b, s: s, task: task}, nil
}

func (c *criRuntime) title() string { return "the container runtime at " + c.Socket() }

func (c *criRuntime) ask(ctx context.Context) error {
	_, err := c.Runtime.Version(ctx, &criv1.VersionRequest{})
	return err
}

func (c *criRuntime) steps() []containerStep {
	return []containerStep{
		{StepImage, "find the image", c.findImage},
		{StepSandbox, "make a sandbox", c.makeSandboxes},
		{StepNetwork, "give the sandboxes a network", c.readAddresses},
		{StepCreate, "make a container", c.create},
		{StepStart, "start a container", c.start},
		{StepRuntime, "run the containers", c.awaitRunning},
	}
}

// talks: sandboxes have no names.
func (c *criRuntime) talks() []talk { return []talk{talkTCP, talkUDP} }

func (c *criRuntime) addrs() [2]netip.Addr { return c.addresses }

func (c *criRuntime) exec(ctx context.Context, container int, command []string) ([]byte, error) {
	request := &criv1.ExecSyncRequest{ContainerId: c.containers[container], Cmd: command}
	if deadline, ok := ctx.Deadline(); ok {
		request.Timeout = int64(time.Until(deadline)/time.Second) + 1
	}
	answer, err := c.Runtime.ExecSync(ctx, request)
	if err != nil {
		return nil, err
	}
	if answer.GetExitCode() != 0 {
		return nil, fmt.Errorf("%s ended with exit code %d: %s", command[0], answer.GetExitCode(), clip(string(answer.GetStderr())+string(answer.GetStdout()), 200))
	}
	return answer.GetStdout(), nil
}

// disturbed asks for the sandboxes: the kubelet ends those that it does not
// know.
func (c *criRuntime) disturbed(ctx context.Context, err error) bool {
	for _, id := range c.sandboxes {
		if id != "" && c.Disturbed(ctx, id, err) {
			return true
		}
	}
	return false
}

// findImage also learns what the runtime is configured for.
func (c *criRuntime) findImage(ctx context.Context) error {
	var err error
	if c.config, err = c.ReadConfig(ctx); err != nil {
		return err
	}
	running, err := c.Runtime.ListPodSandbox(ctx, &criv1.ListPodSandboxRequest{Filter: &criv1.PodSandboxFilter{
		State: &criv1.PodSandboxStateValue{State: criv1.PodSandboxState_SANDBOX_READY},
	}})
	if err != nil {
		return err
	}
	c.image, err = c.FindImage(ctx, c.s.Image, "smoke-image", c.config, len(running.GetItems()) > 0)
	return err
}

// sandboxConfig is a sandbox whose first process the server in it may end.
func (c *criRuntime) sandboxConfig(side string, network criv1.NamespaceMode) *criv1.PodSandboxConfig {
	return &criv1.PodSandboxConfig{
		Metadata: &criv1.PodSandboxMetadata{Name: "grapevine-smoke-" + side, Namespace: "grapevine", Uid: c.name(side)},
		Labels:   c.labels(),

		LogDirectory: collectors.CRILogs,
		Linux: &criv1.LinuxPodSandboxConfig{
			CgroupParent: c.config.CgroupParent(),
			SecurityContext: &criv1.LinuxSandboxSecurityContext{
				NamespaceOptions: c.namespaces(network),
				RunAsUser:        nobody, RunAsGroup: nobody, ReadonlyRootfs: true,
			},
		},
	}
}

var nobody = &criv1.Int64Value{Value: 65534}

func (c *criRuntime) namespaces(network criv1.NamespaceMode) *criv1.NamespaceOption {
	return &criv1.NamespaceOption{Network: network, Pid: criv1.NamespaceMode_POD}
}

func (c *criRuntime) makeSandboxes(ctx context.Context) error {
	for i, side := range sides {
		c.configs[i] = c.sandboxConfig(side, criv1.NamespaceMode_POD)
		answer, err := c.Runtime.RunPodSandbox(ctx, &criv1.RunPodSandboxRequest{Config: c.configs[i]})
		if err != nil {
			return c.blameNetwork(ctx, err)
		}
		c.sandboxes[i] = answer.GetPodSandboxId()
	}
	return nil
}

// blameNetwork tells what fails in making a sandbox: if one on the host's
// network can be made, it is the network of pods.
func (c *criRuntime) blameNetwork(ctx context.Context, err error) error {
	if ctx.Err() != nil || c.Unreachable() {
		return err
	}
	if _, again := c.Runtime.RunPodSandbox(ctx, &criv1.RunPodSandboxRequest{Config: c.sandboxConfig("host", criv1.NamespaceMode_NODE)}); again != nil {
		return err
	}
	return blamed{StepNetwork, err}
}

// readAddresses wants each sandbox to have an address of its own.
func (c *criRuntime) readAddresses(ctx context.Context) error {
	for i, id := range c.sandboxes {
		answer, err := c.Runtime.PodSandboxStatus(ctx, &criv1.PodSandboxStatusRequest{PodSandboxId: id})
		if err != nil {
			return err
		}
		text := answer.GetStatus().GetNetwork().GetIp()
		if c.addresses[i], err = netip.ParseAddr(text); err != nil {
			return fmt.Errorf("sandbox %s has the address %.50q", sides[i], text)
		}
	}
	if c.addresses[0] == c.addresses[1] {
		return fmt.Errorf("both sandboxes have the address %v", c.addresses[0])
	}
	return nil
}

// create makes a container in each sandbox that may do as little as possible.
func (c *criRuntime) create(ctx context.Context) error {
	for i, side := range sides {
		task := c.task
		task.Node = side
		answer, err := c.Runtime.CreateContainer(ctx, &criv1.CreateContainerRequest{
			PodSandboxId: c.sandboxes[i], SandboxConfig: c.configs[i],
			Config: &criv1.ContainerConfig{
				Metadata: &criv1.ContainerMetadata{Name: "server"},
				Image:    &criv1.ImageSpec{Image: c.image},
				Command:  []string{"/grapevine"}, Args: []string{"smoke-pod", roleServer},
				Envs:    []*criv1.KeyValue{{Key: TaskVariable, Value: task.text()}},
				Labels:  c.labels(),
				LogPath: "grapevine-smoke-" + side + ".log",
				Linux: &criv1.LinuxContainerConfig{
					Resources: &criv1.LinuxContainerResources{MemoryLimitInBytes: containerMemory},
					SecurityContext: &criv1.LinuxContainerSecurityContext{
						Capabilities:     &criv1.Capability{DropCapabilities: []string{"ALL"}},
						NamespaceOptions: c.namespaces(criv1.NamespaceMode_POD),
						RunAsUser:        nobody, RunAsGroup: nobody, ReadonlyRootfs: true, NoNewPrivs: true,
					},
				},
			},
		})
		if err != nil {
			return err
		}
		c.containers[i] = answer.GetContainerId()
	}
	return nil
}

func (c *criRuntime) start(ctx context.Context) error {
	for _, id := range c.containers {
		if _, err := c.Runtime.StartContainer(ctx, &criv1.StartContainerRequest{ContainerId: id}); err != nil {
			return err
		}
	}
	return nil
}

func (c *criRuntime) awaitRunning(ctx context.Context) error {
	for i, id := range c.containers {
		answer, err := c.Runtime.ContainerStatus(ctx, &criv1.ContainerStatusRequest{ContainerId: id})
		if err != nil {
			return err
		}
		if s := answer.GetStatus(); s.GetState() != criv1.ContainerState_CONTAINER_RUNNING {
			return fmt.Errorf("container %s has ended with exit code %d: %s %s", sides[i], s.GetExitCode(), s.GetReason(), s.GetMessage())
		}
	}
	return nil
}

// things lists sandboxes; what is in them goes with them.
func (c *criRuntime) things(ctx context.Context) ([]thing, error) {
	list, err := c.Runtime.ListPodSandbox(ctx, &criv1.ListPodSandboxRequest{})
	if err != nil {
		return nil, err
	}
	var all []thing
	for _, s := range list.GetItems() {
		if _, ours := s.GetLabels()[untilLabel]; ours {
			all = append(all, thing{"sandbox " + s.GetMetadata().GetUid(), s.GetLabels(), func(ctx context.Context) error {
				c.endServer(ctx, s.GetId())
				return c.RemoveSandbox(ctx, s.GetId())
			}})
		}
	}
	return all, nil
}

// endServer lets the server in a sandbox end itself and what keeps the sandbox:
// a removal that is broken off would leave that running. What fails here, the
// removal tells.
func (c *criRuntime) endServer(ctx context.Context, sandbox string) {
	for i, id := range c.sandboxes {
		if id == sandbox && c.containers[i] != "" {
			_, _ = c.Runtime.StopContainer(ctx, &criv1.StopContainerRequest{ContainerId: c.containers[i], Timeout: 1})
		}
	}
}
