package collectors

import (
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Where kubeadm, and most that is not k3s, keep what the kubelet is started
// with. Flags win over the file.
const (
	kubeletConfigFile = "/var/lib/kubelet/config.yaml"
	kubeletFlagsFile  = "/var/lib/kubelet/kubeadm-flags.env"
)

// kubeletRuntime is what the kubelet's files say of its container runtime.
type kubeletRuntime struct {
	known        bool   // there are such files
	socket       string // path of the runtime's; empty: not told
	cgroupDriver string // "systemd" or "cgroupfs"; empty: not told
}

var runtimeEndpointFlag = regexp.MustCompile(`--container-runtime-endpoint[= ]"?([^\s"]+)`)

// findKubeletRuntime reads the files that are there. A kubelet that cannot be
// understood is another check's matter.
func findKubeletRuntime(paths Paths) (k kubeletRuntime) {
	if content, err := readAtMost(paths.inRoot(kubeletConfigFile), 1<<20); err == nil {
		var config struct {
			Endpoint     string `yaml:"containerRuntimeEndpoint"`
			CgroupDriver string `yaml:"cgroupDriver"`
		}
		if yaml.Unmarshal(content, &config) == nil {
			k = kubeletRuntime{known: true, socket: config.Endpoint, cgroupDriver: config.CgroupDriver}
		}
	}
	if content, err := readAtMost(paths.inRoot(kubeletFlagsFile), 1<<16); err == nil {
		k.known = true
		if match := runtimeEndpointFlag.FindSubmatch(content); match != nil {
			k.socket = string(match[1])
		}
	}
	k.socket = strings.TrimPrefix(k.socket, "unix://")
	if !strings.HasPrefix(k.socket, "/") {
		k.socket = ""
	}
	return k
}

// usesDocker tells whether the kubelet runs its pods by Docker.
func (k kubeletRuntime) usesDocker() bool {
	return strings.HasSuffix(k.socket, "/cri-dockerd.sock") || strings.HasSuffix(k.socket, "/dockershim.sock")
}

// readAtMost reads a small file.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, limit))
}
