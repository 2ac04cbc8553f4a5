package collectors

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/grapevine-mesh/grapevine/health"
)

// kernelFeatures tell whether the kernel has a feature, by what it shows of
// it: a list of modules lacks those that are built in.
var kernelFeatures = map[string]func(Paths) bool{
	"overlay": func(p Paths) bool {
		list, err := readSmall(filepath.Join(p.Proc, "filesystems"))
		return err == nil && bytes.Contains(list, []byte("\toverlay\n"))
	},
	"nf_conntrack": func(p Paths) bool { return exists(filepath.Join(p.Proc, "sys/net/netfilter/nf_conntrack_max")) },
	"br_netfilter": func(p Paths) bool { return exists(filepath.Join(p.Proc, "sys/net/bridge/bridge-nf-call-iptables")) },
}

// systemSysctls are exported as they are, where the kernel has them.
var systemSysctls = []string{
	"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables",
	"fs.inotify.max_user_instances", "fs.inotify.max_user_watches", "vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic",
}

// kernel exports what the kernel is set to and, on a Kubernetes node, judges
// what no pod network works without.
func (c *systemCheck) kernel(r *Report, judged bool) {
	values := make(map[string]int)
	for _, name := range systemSysctls {
		if v, err := c.proc.SysctlInts(name); err == nil && len(v) == 1 {
			values[name] = v[0]
			r.Sample(&systemSysctl, float64(v[0]), name)
		}
	}
	for name, has := range kernelFeatures {
		r.Sample(&systemModule, boolean(has(c.paths)), name)
	}
	if !judged {
		return
	}
	missing := &assessment{about: "the kernel"}
	for _, name := range c.settings.Features {
		if !kernelFeatures[name](c.paths) {
			missing.add(health.Warning, "has no %s: load it with modprobe %s", name, name)
		}
	}
	missing.verdict(r, "kernel features")
	if c.elsewhere() {
		return // the kernel shows settings of the network the agent is in
	}
	c.forwarding(r, values, "ip_forward", "net.ipv4.ip_forward")
	if c.settings.IPv6 {
		c.forwarding(r, values, "ip_forward v6", "net.ipv6.conf.all.forwarding")
	}
	c.bridge(r, values)
}

func (c *systemCheck) forwarding(r *Report, values map[string]int, subject, name string) {
	v, ok := values[name]
	switch {
	case !ok:
		r.Verdict(subject, health.Unknown, name+" cannot be read: packets to pods may not be forwarded", health.Evidence{})
	case v == 0:
		r.Verdict(subject, health.Critical, name+" is 0: this node forwards no packets, so its pods reach nobody outside it and nobody reaches them", health.Evidence{})
	default:
		r.Verdict(subject, health.OK, "", health.Evidence{})
	}
}

// bridge judges br_netfilter only where pods hang on a Linux bridge: other
// networks neither need nor load it.
func (c *systemCheck) bridge(r *Report, values map[string]int) {
	why := c.bridged()
	if why == "" {
		return
	}
	const subject = "bridge-nf-call-iptables"
	v, ok := values["net.bridge.bridge-nf-call-iptables"]
	switch {
	case !ok:
		r.Verdict(subject, health.Warning, fmt.Sprintf("br_netfilter is not loaded, and pods hang on a bridge (%s): services may not work between pods of this node", why), health.Evidence{})
	case v == 0:
		r.Verdict(subject, health.Warning, fmt.Sprintf("net.bridge.bridge-nf-call-iptables is 0, and pods hang on a bridge (%s): services may not work between pods of this node", why), health.Evidence{})
	default:
		r.Verdict(subject, health.OK, "", health.Evidence{})
	}
}

// maxCNIFiles bounds the configurations that are read; one is usual.
const maxCNIFiles = 16

// bridged says by what it is known that pods hang on a bridge; empty: they
// do not, as far as can be seen.
func (c *systemCheck) bridged() string {
	for _, device := range []string{"cni0", "cbr0"} {
		if exists(filepath.Join(c.paths.Sys, "class/net", device, "bridge")) {
			return "device " + device
		}
	}
	files, _ := filepath.Glob(c.paths.inRoot("/etc/cni/net.d/*.conf*")) // the pattern is well formed
	for _, file := range files[:min(len(files), maxCNIFiles)] {
		text, err := readSmall(file)
		if err != nil {
			continue
		}
		flat := strings.Join(strings.Fields(string(text)), "")
		for _, plugin := range []string{"bridge", "flannel"} {
			if strings.Contains(flat, `"type":"`+plugin+`"`) {
				return "CNI plugin " + plugin + " in " + clip(filepath.Base(file), 60)
			}
		}
	}
	return ""
}

// elsewhere reports whether the agent is in another network namespace than
// the node: the kernel then shows it that one's settings. When that cannot be
// seen it is taken to be on the node.
func (c *systemCheck) elsewhere() bool {
	own, errOwn := os.Readlink("/proc/self/ns/net")
	node, errNode := os.Readlink(filepath.Join(c.paths.Proc, "1/ns/net"))
	return errOwn == nil && errNode == nil && own != node
}

// cgroup exports the layout. Kubernetes works on v1 still, so no layout is
// bad by itself; the old ones are said.
func (c *systemCheck) cgroup(r *Report) {
	root := filepath.Join(c.paths.Sys, "fs/cgroup")
	layout, reason := "v1", "control groups are v1, which Kubernetes has deprecated: from 1.35 on the kubelet refuses to start unless failCgroupV1 is false"
	switch {
	case exists(filepath.Join(root, "cgroup.controllers")):
		layout, reason = "v2", ""
	case exists(filepath.Join(root, "unified/cgroup.controllers")):
		layout, reason = "hybrid", "control groups are mixed, v1 with v2 beside it; Kubernetes takes that as v1, which it has deprecated"
	case !exists(root):
		r.Verdict("cgroup version", health.Unknown, "no control groups at "+clip(root, 100), health.Evidence{})
		return
	}
	r.Sample(&systemCgroup, 1, layout)
	r.Verdict("cgroup version", health.OK, reason, health.Evidence{})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
