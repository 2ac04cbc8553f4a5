package smoke

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	dockertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// dockerRuntime makes the containers of one run by Docker.
type dockerRuntime struct {
	*collectors.Docker
	bounds
	s      Settings
	binary string
	task   Task

	image      string
	containers [2]string // ids
	addresses  [2]netip.Addr
}

func openDocker(s Settings, o ContainerOptions, task Task, b bounds) (*dockerRuntime, error) {
	docker, err := collectors.FindDocker(o.Paths, o.Socket)
	if err != nil {
		return nil, err
	}
	return &dockerRuntime{Docker: docker, bounds: b, s: s, binary: o.Binary, task: task}, nil
}

func (d *dockerRuntime) title() string { return "the Docker daemon at " + d.Socket() }

func (d *dockerRuntime) ask(ctx context.Context) error {
	_, err := d.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	return err
}

func (d *dockerRuntime) steps() []containerStep {
	return []containerStep{
		{StepImage, "load the image", d.findImage},
		{StepNetwork, "make a network", d.makeNetwork},
		{StepCreate, "make a container", d.create},
		{StepStart, "start a container", d.start},
		{StepRuntime, "run the containers", d.awaitRunning},
	}
}

// alias is the name of a container on the network, a full one: what the host
// searches in is none of it.
func alias(container int) string { return "grapevine-smoke-" + sides[container] + "." }

func (d *dockerRuntime) talks() []talk {
	return []talk{talkTCP, talkUDP, {step: StepName, task: StepDNS, name: alias}}
}

func (d *dockerRuntime) addrs() [2]netip.Addr { return d.addresses }

func (d *dockerRuntime) exec(ctx context.Context, container int, command []string) ([]byte, error) {
	output, _, err := d.Exec(ctx, d.containers[container], nil, command)
	return output, err
}

// disturbed: nobody removes containers of Docker that are none of their own.
func (d *dockerRuntime) disturbed(context.Context, error) bool { return false }

// findImage takes the image that is there, and else gives Docker one for the
// time of the run, unless another one was asked for.
func (d *dockerRuntime) findImage(ctx context.Context) error {
	short := strings.TrimPrefix(d.s.Image, "docker.io/")
	list, err := d.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("reference", short)})
	if err != nil {
		return err
	}
	if len(list.Items) > 0 {
		d.image = short
		return nil
	}
	if d.binary == "" || d.s.Image != DefaultImage {
		return collectors.NoImageError{Reason: fmt.Sprintf("Docker has no image %s; load it: grapevine smoke-image --name=%s | docker load", short, short)}
	}
	if linkedDynamically(d.binary) {
		return collectors.NoImageError{Reason: fmt.Sprintf("Docker has no image %s, and can be given none of %s, which needs libraries: build it with CGO_ENABLED=0", short, d.binary)}
	}
	i, err := collectors.OpenBinaryImage(d.binary)
	if err != nil {
		return fmt.Errorf("an image of grapevine: %w", err)
	}
	defer func() { _ = i.Close() }()
	i.Name, i.Command, i.Labels, i.Created = "docker.io/grapevine/smoke:run-"+d.run, "smoke-pod", d.labels(), time.Now()
	d.image = i.ShortName()
	return d.Load(ctx, i)
}

// linkedDynamically tells whether a program needs another one to be loaded,
// which an image of it alone has not got.
func linkedDynamically(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false // whoever reads it tells
	}
	defer func() { _ = f.Close() }()
	return slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// makeNetwork makes a bridge that leads nowhere else.
func (d *dockerRuntime) makeNetwork(ctx context.Context) error {
	_, err := d.NetworkCreate(ctx, d.name(), client.NetworkCreateOptions{Driver: "bridge", Internal: true, Labels: d.labels()})
	return err
}

// What a container may use.
const (
	containerMemory = 64 << 20 // bytes, a client in it included
	containerPids   = 100
)

// create makes two containers that may do as little as possible.
func (d *dockerRuntime) create(ctx context.Context) error {
	for i, side := range sides {
		task := d.task
		task.Node = side
		pids := int64(containerPids)
		made, err := d.ContainerCreate(ctx, client.ContainerCreateOptions{
			Name: d.name(side),
			Config: &dockertypes.Config{
				Image: d.image, Labels: d.labels(), User: "65534:65534",
				Entrypoint: []string{"/grapevine"}, Cmd: []string{"smoke-pod", roleServer}, Env: []string{TaskVariable + "=" + task.text()},
			},
			HostConfig: &dockertypes.HostConfig{
				NetworkMode:    dockertypes.NetworkMode(d.name()),
				LogConfig:      dockertypes.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "64k", "max-file": "1"}},
				ReadonlyRootfs: true,
				CapDrop:        []string{"ALL"},
				SecurityOpt:    []string{"no-new-privileges"},
				RestartPolicy:  dockertypes.RestartPolicy{Name: dockertypes.RestartPolicyDisabled},
				Resources:      dockertypes.Resources{Memory: containerMemory, MemorySwap: containerMemory, PidsLimit: &pids},
			},
			NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
				d.name(): {Aliases: []string{strings.TrimSuffix(alias(i), ".")}},
			}},
		})
		if err != nil {
			return err
		}
		d.containers[i] = made.ID
	}
	return nil
}

func (d *dockerRuntime) start(ctx context.Context) error {
	for _, id := range d.containers {
		if _, err := d.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// awaitRunning wants both containers to run and to have an address.
func (d *dockerRuntime) awaitRunning(ctx context.Context) error {
	for i, id := range d.containers {
		found, err := d.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
		if err != nil {
			return err
		}
		c := found.Container
		if c.State == nil || !c.State.Running {
			return fmt.Errorf("container %s has ended %s", sides[i], d.lastWords(ctx, id, c.State))
		}
		if c.NetworkSettings != nil {
			if endpoint := c.NetworkSettings.Networks[d.name()]; endpoint != nil {
				d.addresses[i] = endpoint.IPAddress
			}
		}
		if !d.addresses[i].IsValid() {
			return blamed{StepNetwork, fmt.Errorf("container %s runs, but has no address on the network", sides[i])}
		}
	}
	if d.addresses[0] == d.addresses[1] {
		return blamed{StepNetwork, fmt.Errorf("both containers have the address %v", d.addresses[0])}
	}
	return nil
}

// lastWords tell how a container has ended, and what it has written.
func (d *dockerRuntime) lastWords(ctx context.Context, id string, state *dockertypes.State) string {
	var text string
	if state != nil {
		text = fmt.Sprintf("with exit code %d %s", state.ExitCode, state.Error)
		if state.OOMKilled {
			text += "for lack of memory"
		}
	}
	log, err := d.ContainerLogs(ctx, id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "5"})
	if err != nil {
		return text
	}
	defer func() { _ = log.Close() }()
	var b bytes.Buffer
	_, _ = stdcopy.StdCopy(&b, &b, log)
	return text + ": " + clip(b.String(), 200)
}

// things lists containers, networks and images, in the order in which they can
// be removed.
func (d *dockerRuntime) things(ctx context.Context) ([]thing, error) {
	ours := client.Filters{}.Add("label", untilLabel)
	containers, err := d.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
	if err != nil {
		return nil, err
	}
	networks, err := d.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
	if err != nil {
		return nil, err
	}
	images, err := d.ImageList(ctx, client.ImageListOptions{Filters: ours})
	if err != nil {
		return nil, err
	}
	var all []thing
	for _, c := range containers.Items {
		name := c.ID
		if len(c.Names) > 0 {
			name = strings.TrimPrefix(c.Names[0], "/")
		}
		all = append(all, thing{"container " + name, c.Labels, func(ctx context.Context) error {
			_, err := d.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			return err
		}})
	}
	for _, n := range networks.Items {
		all = append(all, thing{"network " + n.Name, n.Labels, func(ctx context.Context) error {
			_, err := d.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
			return err
		}})
	}
	for _, i := range images.Items {
		all = append(all, thing{"image " + strings.Join(slices.Concat(i.RepoTags, []string{i.ID})[:1], ""), i.Labels, func(ctx context.Context) error {
			_, err := d.ImageRemove(ctx, i.ID, client.ImageRemoveOptions{PruneChildren: true})
			return err
		}})
	}
	return all, nil
}
