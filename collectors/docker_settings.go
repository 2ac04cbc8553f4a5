package collectors

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// dockerSettings is the block "docker" of the configuration file.
type dockerSettings struct {
	Timing `yaml:",inline"`

	// Socket is the path of the Docker daemon's socket. Empty means what
	// $DOCKER_HOST says, /run/docker.sock or /var/run/docker.sock.
	Socket string `yaml:"socket"`

	// Canary runs a tiny container from an image of the agent's own binary.
	// With mode "on" that image is loaded into Docker if it is not there;
	// "auto" never does that. Nothing is ever pulled.
	Canary canarySettings `yaml:"canary"`

	Thresholds dockerThresholds `yaml:"thresholds"`
}

// dockerThresholds are held against what one run sees.
type dockerThresholds struct {
	// Latency of a ping. No answer within the timeout is always critical; 2 s
	// is after what time crictl gives a runtime up by default.
	Latency DurationLimits `yaml:"latency"`
	// Canary is the time of all its steps. Kubernetes' own objective for the
	// start of a pod whose images are present is 5 s (SIG Scalability).
	Canary DurationLimits `yaml:"canary"`
}

func defaultDockerSettings() *dockerSettings {
	return &dockerSettings{
		Timing: Timing{Interval: 15 * time.Second, Timeout: 12 * time.Second, FailureThreshold: 2, SuccessThreshold: 1},
		Canary: canarySettings{Mode: "auto", Interval: 5 * time.Minute},
		Thresholds: dockerThresholds{
			Latency: DurationLimits{Warning: 2 * time.Second},
			Canary:  DurationLimits{Warning: 5 * time.Second},
		},
	}
}

// Validate names the first impossible value by its key.
func (s *dockerSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	if s.Socket != "" && !filepath.IsAbs(s.Socket) {
		return fmt.Errorf("socket: %q is not an absolute path", clip(s.Socket, 100))
	}
	if err := s.Canary.validate(); err != nil {
		return err
	}
	return validateLimits(
		namedLimits{"latency", s.Thresholds.Latency.seconds(), false},
		namedLimits{"canary", s.Thresholds.Canary.seconds(), false},
	)
}

// find returns the socket to ask. One that is configured, or that the kubelet
// lives by, need not be there now: that is for the verdict to say.
func (s *dockerSettings) find(paths Paths, kubelet kubeletRuntime) (*daemonSocket, error) {
	if s.Socket != "" {
		return paths.socket(s.Socket), nil
	}
	places := []string{"/run/docker.sock", "/var/run/docker.sock"}
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		places = append([]string{path}, places...)
	}
	for _, path := range places {
		if found := paths.socket(path); isSocket(found.file) {
			return found, nil
		}
	}
	if kubelet.usesDocker() {
		return paths.socket(places[0]), nil
	}
	return nil, fmt.Errorf("docker is %w: no socket %s", ErrAbsent, strings.Join(places, ", "))
}

// socket is the daemon's socket at a path of the node.
func (p Paths) socket(path string) *daemonSocket {
	return &daemonSocket{path: path, file: p.inRoot(path)}
}
