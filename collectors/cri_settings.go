package collectors

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// criSettings is the block "cri" of the configuration file.
type criSettings struct {
	Timing `yaml:",inline"`

	// Sockets are paths of container runtimes' CRI sockets. Empty means the
	// one that the kubelet's files name, else those of containerd, k3s, CRI-O
	// and cri-dockerd that are there.
	Sockets []string `yaml:"sockets"`

	// Canary runs a tiny container in a pod sandbox of its own on the host's
	// network. CRI cannot load images: "grapevine canary-image | ctr -n
	// k8s.io images import -" does. Nothing is ever pulled.
	Canary criCanarySettings `yaml:"canary"`

	Thresholds criThresholds `yaml:"thresholds"`
}

// criCanarySettings is the block "canary".
type criCanarySettings struct {
	canarySettings `yaml:",inline"`

	// Image is the canary's, without tag; of several tags the last is taken.
	Image string `yaml:"image"`
	// Command is run in it and must end well; empty means what the image
	// itself says.
	Command []string `yaml:"command"`
}

// criThresholds are held against what one run sees.
type criThresholds struct {
	// Latency of a status request. No answer within the timeout is always
	// critical; 2 s is after what time crictl gives up by default.
	Latency DurationLimits `yaml:"latency"`
	// Canary is the time of all its steps. Kubernetes' own objective for the
	// start of a pod whose images are present is 5 s (SIG Scalability).
	Canary DurationLimits `yaml:"canary"`
	// ImageUsage is how full the file system of the images is, as a ratio.
	// The kubelet removes images from 85 % on by default
	// (imageGCHighThresholdPercent): above it, that does not help any more.
	ImageUsage Limits `yaml:"image_usage"`
}

// criSockets are where runtimes listen when nothing else is configured.
var criSockets = []string{
	"/run/containerd/containerd.sock",
	"/run/k3s/containerd/containerd.sock",
	"/run/crio/crio.sock",
	"/run/cri-dockerd.sock",
}

func defaultCRISettings() *criSettings {
	return &criSettings{
		Timing: Timing{Interval: 15 * time.Second, Timeout: 12 * time.Second, FailureThreshold: 2, SuccessThreshold: 1},
		Canary: criCanarySettings{
			canarySettings: canarySettings{Mode: "auto", Interval: 5 * time.Minute}, Image: CanaryRepository,
		},
		Thresholds: criThresholds{
			Latency:    DurationLimits{Warning: 2 * time.Second},
			Canary:     DurationLimits{Warning: 5 * time.Second},
			ImageUsage: Limits{Warning: 0.9, Critical: 0.97},
		},
	}
}

// Validate names the first impossible value by its key.
func (s *criSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	for i, path := range s.Sockets {
		switch {
		case !filepath.IsAbs(path):
			return fmt.Errorf("sockets: %q is not an absolute path", clip(path, 100))
		case slices.Contains(s.Sockets[:i], path):
			return fmt.Errorf("sockets: %q is there twice", clip(path, 100))
		}
	}
	if len(s.Sockets) > 8 {
		return fmt.Errorf("sockets: %d of them; a node has at most 8", len(s.Sockets))
	}
	if err := s.Canary.validate(); err != nil {
		return err
	}
	if s.Canary.Image == "" {
		return errors.New("canary: image: empty")
	}
	return validateLimits(
		namedLimits{"latency", s.Thresholds.Latency.seconds(), false},
		namedLimits{"canary", s.Thresholds.Canary.seconds(), false},
		namedLimits{"image_usage", s.Thresholds.ImageUsage, true},
	)
}

// find returns the sockets to ask. Those that are configured, or that the
// kubelet lives by, need not be there now: that is for the verdict to say.
func (s *criSettings) find(paths Paths) ([]*daemonSocket, error) {
	if len(s.Sockets) > 0 {
		return paths.sockets(s.Sockets), nil
	}
	kubelet := findKubeletRuntime(paths)
	if kubelet.socket != "" {
		return paths.sockets([]string{kubelet.socket}), nil
	}
	var found []string
	for _, path := range criSockets {
		if isSocket(paths.inRoot(path)) {
			found = append(found, path)
		}
	}
	// Docker brings a containerd of its own, with its CRI switched off.
	if isSocket(paths.inRoot("/run/docker.sock")) && !kubelet.known {
		found = slices.DeleteFunc(found, func(path string) bool { return path == criSockets[0] })
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("a container runtime with CRI is %w: no socket %s", ErrAbsent, strings.Join(criSockets, ", "))
	}
	return paths.sockets(found), nil
}

func (p Paths) sockets(paths []string) []*daemonSocket {
	var all []*daemonSocket
	for _, path := range paths {
		all = append(all, p.socket(path))
	}
	return all
}
