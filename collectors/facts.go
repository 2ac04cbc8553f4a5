package collectors

import (
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/health"
)

// Facts of the node itself, exported beside the checks.
var (
	nodeInfo = Metric{
		Name: "grapevine_node_info", Type: health.Gauge, Labels: []string{"kernel", "arch", "os", "version"},
		Help: "Kernel release, architecture and operating system of the node, and the agent's version; always 1.",
	}
	nodeBoot = Metric{
		Name: "grapevine_node_boot_timestamp_seconds", Type: health.Gauge,
		Help: "When the node was booted, in seconds since the epoch by the node's own clock.",
	}
	nodeCPUs = Metric{
		Name: "grapevine_node_cpus", Type: health.Gauge,
		Help: "Logical processors of the node that are online.",
	}
	nodeMemory = Metric{
		Name: "grapevine_node_memory_bytes", Type: health.Gauge,
		Help: "Memory of the node that the kernel can use.",
	}
	nodeComponent = Metric{
		Name: "grapevine_node_component_detected", Type: health.Gauge, Labels: []string{"component", "path"},
		Help: "A component of Kubernetes that was found on the node, and the file or socket that told; always 1.",
	}
)

// Facts describes what NodeFacts exports.
func Facts() []Metric { return []Metric{nodeInfo, nodeBoot, nodeCPUs, nodeMemory, nodeComponent} }

// component is a part of Kubernetes and where its traces lie.
type component struct {
	name   string
	socket bool // path must be a socket
	paths  []string
}

var components = []component{
	{"docker", true, []string{"/var/run/docker.sock"}},
	{"containerd", true, []string{"/run/containerd/containerd.sock"}},
	{"crio", true, []string{"/var/run/crio/crio.sock"}},
	{"k3s", true, []string{"/run/k3s/containerd/containerd.sock"}},
	{"kubeconfig", false, kubeconfigPlaces},
	{"kubelet", false, []string{"/var/lib/kubelet/config.yaml"}},
	{"etcd", false, []string{etcdManifest, "/var/lib/rancher/k3s/server/db/etcd", "/var/lib/rancher/rke2/server/db/etcd"}},
	{"apiserver", false, apiserverManifests},
	{"scheduler", false, scheduler.manifests},
	{"controller-manager", false, controllerManager.manifests},
}

// NodeFacts is a prometheus.Collector of what does not change while the node
// is up, and of what was found on it.
type NodeFacts struct {
	version string
	paths   Paths

	mu    sync.Mutex // guards facts
	facts []Sample
}

// NewFacts looks at the node. version is the agent's.
func NewFacts(paths Paths, version string) *NodeFacts {
	f := &NodeFacts{version: version, paths: paths}
	f.Refresh()
	return f
}

// Refresh looks at the node again: on a reload, to find what has been
// installed since.
func (f *NodeFacts) Refresh() {
	var facts []Sample
	add := func(m *Metric, value float64, labels ...string) {
		facts = append(facts, Sample{Metric: m, Labels: labels, Value: value})
	}
	add(&nodeInfo, 1, kernelRelease(), runtime.GOARCH, osName(f.paths), f.version)
	add(&nodeCPUs, float64(runtime.NumCPU()))
	if proc, err := procfs.NewFS(f.paths.Proc); err == nil {
		if stat, err := proc.Stat(); err == nil {
			add(&nodeBoot, float64(stat.BootTime))
			if len(stat.CPU) > 0 { // NumCPU knows only those this process may use
				facts[1].Value = float64(len(stat.CPU))
			}
		}
		if memory, err := proc.Meminfo(); err == nil && memory.MemTotalBytes != nil {
			add(&nodeMemory, float64(*memory.MemTotalBytes))
		}
	}
	for _, c := range components {
		paths := c.paths
		if host := os.Getenv("DOCKER_HOST"); c.name == "docker" {
			if path, ok := strings.CutPrefix(host, "unix://"); ok && path != paths[0] {
				paths = append([]string{path}, paths...)
			}
		}
		for _, path := range paths {
			info, err := os.Stat(f.paths.inRoot(path))
			if err == nil && (!c.socket || info.Mode().Type() == os.ModeSocket) {
				add(&nodeComponent, 1, c.name, clip(path, 200))
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.facts = facts
}

// Describe makes NodeFacts a prometheus.Collector.
func (f *NodeFacts) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range Facts() {
		descs <- m.Desc()
	}
}

// Collect makes NodeFacts a prometheus.Collector.
func (f *NodeFacts) Collect(metrics chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.facts {
		metrics <- prometheus.MustNewConstMetric(s.Metric.Desc(), prometheus.GaugeValue, s.Value, s.Labels...)
	}
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return clip(unix.ByteSliceToString(u.Release[:]), 100)
}

// osName is the PRETTY_NAME of os-release: "Debian GNU/Linux 12 (bookworm)".
func osName(paths Paths) string {
	content, err := os.ReadFile(paths.inRoot("/etc/os-release"))
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(content)) {
		if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return clip(strings.Trim(strings.TrimSpace(name), `"'`), 100)
		}
	}
	return "unknown"
}
