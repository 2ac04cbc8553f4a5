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

// CRIConfig is what has to be known of a runtime's configuration to run
// something by it.
type CRIConfig struct {
	sandboxImage  string // empty: not told
	systemdCgroup bool
}

// CgroupParent is where a sandbox goes that is nobody's pod: a path of the
// other cgroup driver's kind would be refused.
func (c CRIConfig) CgroupParent() string {
	if c.systemdCgroup {
		return "system.slice"
	}
	return ""
}

// ReadConfig asks for the cgroup driver as the kubelet does, and else reads
// the configuration that containerd and CRI-O give with a verbose status.
func (c *CRI) ReadConfig(ctx context.Context) (CRIConfig, error) {
	state, err := c.Runtime.Status(ctx, &criv1.StatusRequest{Verbose: true})
	if err != nil {
		return CRIConfig{}, fmt.Errorf("reading the configuration: %w", err)
	}
	config := parseCRIConfig(state.GetInfo()["config"])
	answer, err := c.Runtime.RuntimeConfig(ctx, &criv1.RuntimeConfigRequest{})
	switch {
	case err == nil:
		config.systemdCgroup = answer.GetLinux().GetCgroupDriver() == criv1.CgroupDriver_SYSTEMD
	case status.Code(err) != codes.Unimplemented: // before containerd 2.0
		return CRIConfig{}, fmt.Errorf("reading the cgroup driver: %w", err)
	}
	return config, nil
}

// parseCRIConfig reads the value "config" of a verbose status.
func parseCRIConfig(text string) CRIConfig {
	var told struct {
		SandboxImage string
		Containerd   struct {
			DefaultRuntimeName string
			Runtimes           map[string]struct{ Options struct{ SystemdCgroup bool } }
		}
	}
	if json.Unmarshal([]byte(text), &told) != nil {
		return CRIConfig{}
	}
	return CRIConfig{
		sandboxImage:  told.SandboxImage,
		systemdCgroup: told.Containerd.Runtimes[told.Containerd.DefaultRuntimeName].Options.SystemdCgroup,
	}
}

// FindImage returns the id of an image, by a name without tag, or with one; of
// several tags the last is taken. The sandbox needs one, too, which the runtime
// would pull if it were not there; sandboxRuns tells that another sandbox runs
// now, so it is. The error is a NoImageError when one of them is not there;
// prints is the subcommand of grapevine that makes the image.
func (c *CRI) FindImage(ctx context.Context, image, prints string, config CRIConfig, sandboxRuns bool) (string, error) {
	list, err := c.Images.ListImages(ctx, &criv1.ListImagesRequest{})
	if err != nil {
		return "", fmt.Errorf("listing images: %w", err)
	}
	name, id, pause, sandboxImage := "", "", sandboxRuns, config.sandboxImage
	for _, i := range list.GetImages() {
		for _, tag := range i.GetRepoTags() {
			if tag > name && (tag == image || withoutTag(tag) == image) {
				name, id = tag, i.GetId()
			}
			pause = pause || tag == sandboxImage || sandboxImage == "" && strings.Contains(tag, "/pause")
		}
		pause = pause || slices.Contains(i.GetRepoDigests(), sandboxImage)
	}
	switch {
	case id == "":
		return "", NoImageError{fmt.Sprintf("the runtime has no image %s; grapevine %s prints one, ctr -n k8s.io images import - loads it", clip(image, 100), prints)}
	case !pause && sandboxImage != "":
		return "", NoImageError{fmt.Sprintf("the runtime has not got its sandbox image %s, and would pull it", clip(sandboxImage, 100))}
	case !pause:
		return "", NoImageError{"the runtime may lack its sandbox image, and would pull it"}
	}
	return id, nil
}

// withoutTag cuts the tag off an image's name, but not a registry's port.
func withoutTag(name string) string {
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i]
	}
	return name
}
