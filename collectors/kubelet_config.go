package collectors

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// kubeletTraces are what a kubelet leaves on its node, be it a program of its
// own or a part of k3s or RKE2.
var kubeletTraces = []string{
	"/var/lib/kubelet/config.yaml",
	"/etc/kubernetes/kubelet.conf",
	"/var/lib/rancher/k3s/agent/kubelet.kubeconfig",
	"/var/lib/rancher/rke2/agent/kubelet.kubeconfig",
}

// onKubernetes tells whether a kubelet belongs to this node.
func onKubernetes(paths Paths) bool {
	return slices.ContainsFunc(kubeletTraces, func(trace string) bool {
		_, err := os.Stat(paths.inRoot(trace))
		return err == nil
	})
}

// kubeletConfigPlaces are the kubelet's configuration as kubeadm, k3s and
// RKE2 lay it out; kubeletFlagsFile is where kubeadm keeps flags, which win
// over it.
var kubeletConfigPlaces = []string{
	"/var/lib/kubelet/config.yaml",
	"/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/*.conf",
	"/var/lib/rancher/rke2/agent/etc/kubelet.conf.d/*.conf",
}

const kubeletFlagsFile = "/var/lib/kubelet/kubeadm-flags.env"

// kubeletConfig is the kubelet's configuration, as far as checks need it.
type kubeletConfig struct {
	file string // that it was found in; empty when there is none

	HealthzBindAddress       string   `yaml:"healthzBindAddress"`
	HealthzPort              int      `yaml:"healthzPort"`
	ClusterDNS               []string `yaml:"clusterDNS"`
	ClusterDomain            string   `yaml:"clusterDomain"`
	ResolvConf               *string  `yaml:"resolvConf"` // nil: /etc/resolv.conf
	ContainerRuntimeEndpoint string   `yaml:"containerRuntimeEndpoint"`
	CgroupDriver             string   `yaml:"cgroupDriver"`
	FailSwapOn               *bool    `yaml:"failSwapOn"` // nil: true
}

var runtimeEndpointFlag = regexp.MustCompile(`--container-runtime-endpoint[= ]"?([^\s"]+)`)

// readKubeletConfig takes the first configuration that can be read. One that
// cannot be understood says nothing; the kubelet itself complains about it.
func readKubeletConfig(paths Paths) kubeletConfig {
	k := firstKubeletConfig(paths)
	if flags, err := paths.read(kubeletFlagsFile, maxNodeFile); err == nil {
		if match := runtimeEndpointFlag.FindSubmatch(flags); match != nil {
			k.ContainerRuntimeEndpoint = string(match[1])
		}
	}
	return k
}

func firstKubeletConfig(paths Paths) kubeletConfig {
	for _, place := range kubeletConfigPlaces {
		found, _ := filepath.Glob(paths.inRoot(place)) // the patterns are well formed
		for _, file := range found {
			file = filepath.Join(path.Dir(place), filepath.Base(file))
			content, err := paths.read(file, maxNodeFile)
			if err != nil {
				continue
			}
			k := kubeletConfig{file: file}
			if yaml.Unmarshal(content, &k) == nil {
				return k
			}
		}
	}
	return kubeletConfig{}
}
