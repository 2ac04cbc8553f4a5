package collectors

import "strings"

// kubeletRuntime is what the kubelet's files say of its container runtime.
type kubeletRuntime struct {
	known        bool   // there are such files
	socket       string // path of the runtime's; empty: not told
	cgroupDriver string // "systemd" or "cgroupfs"; empty: not told
}

// findKubeletRuntime reads the files that are there.
func findKubeletRuntime(paths Paths) kubeletRuntime {
	config := readKubeletConfig(paths)
	k := kubeletRuntime{
		known:        config.file != "" || config.ContainerRuntimeEndpoint != "",
		socket:       strings.TrimPrefix(config.ContainerRuntimeEndpoint, "unix://"),
		cgroupDriver: config.CgroupDriver,
	}
	if !strings.HasPrefix(k.socket, "/") {
		k.socket = ""
	}
	return k
}

// usesDocker tells whether the kubelet runs its pods by Docker.
func (k kubeletRuntime) usesDocker() bool {
	return strings.HasSuffix(k.socket, "/cri-dockerd.sock") || strings.HasSuffix(k.socket, "/dockershim.sock")
}
