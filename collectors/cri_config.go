package collectors

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criConfig is what the canary has to know of a runtime's configuration.
type criConfig struct {
	sandboxImage  string // empty: not told
	systemdCgroup bool
}

// readConfig asks for the cgroup driver as the kubelet does, and else reads
// the configuration that containerd and CRI-O give with a verbose status.
func (c *criRuntime) readConfig(ctx context.Context) (criConfig, error) {
	state, err := c.runtime.Status(ctx, &criv1.StatusRequest{Verbose: true})
	if err != nil {
		return criConfig{}, fmt.Errorf("reading the configuration: %w", err)
	}
	config := parseCRIConfig(state.GetInfo()["config"])
	answer, err := c.runtime.RuntimeConfig(ctx, &criv1.RuntimeConfigRequest{})
	switch {
	case err == nil:
		config.systemdCgroup = answer.GetLinux().GetCgroupDriver() == criv1.CgroupDriver_SYSTEMD
	case status.Code(err) != codes.Unimplemented: // before containerd 2.0
		return criConfig{}, fmt.Errorf("reading the cgroup driver: %w", err)
	}
	return config, nil
}

// parseCRIConfig reads the value "config" of a verbose status.
func parseCRIConfig(text string) criConfig {
	var told struct {
		SandboxImage string
		Containerd   struct {
			DefaultRuntimeName string
			Runtimes           map[string]struct{ Options struct{ SystemdCgroup bool } }
		}
	}
	if json.Unmarshal([]byte(text), &told) != nil {
		return criConfig{}
	}
	return criConfig{
		sandboxImage:  told.SandboxImage,
		systemdCgroup: told.Containerd.Runtimes[told.Containerd.DefaultRuntimeName].Options.SystemdCgroup,
	}
}

// canaryImage returns the image to run. The sandbox needs one, too, which the
// runtime would pull if it were not there: then there is no canary.
func (c *criRuntime) canaryImage(ctx context.Context, sandboxImage string, sandboxRuns bool) (string, error) {
	list, err := c.images.ListImages(ctx, &criv1.ListImagesRequest{})
	if err != nil {
		return "", fmt.Errorf("listing images: %w", err)
	}
	name, canary, pause := "", "", sandboxRuns
	for _, i := range list.GetImages() {
		for _, tag := range i.GetRepoTags() {
			if tag > name && (tag == c.settings.Canary.Image || withoutTag(tag) == c.settings.Canary.Image) {
				name, canary = tag, i.GetId()
			}
			pause = pause || tag == sandboxImage || sandboxImage == "" && strings.Contains(tag, "/pause")
		}
		pause = pause || slices.Contains(i.GetRepoDigests(), sandboxImage)
	}
	switch {
	case canary == "":
		return "", canaryOff{fmt.Sprintf("the runtime has no image %s; grapevine canary-image prints one, ctr -n k8s.io images import - loads it", clip(c.settings.Canary.Image, 100))}
	case !pause && sandboxImage != "":
		return "", canaryOff{fmt.Sprintf("the runtime has not got its sandbox image %s, and would pull it", clip(sandboxImage, 100))}
	case !pause:
		return "", canaryOff{"the runtime may lack its sandbox image, and would pull it"}
	}
	return canary, nil
}

// withoutTag cuts the tag off an image's name, but not a registry's port.
func withoutTag(name string) string {
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i]
	}
	return name
}
