package real

import (
	"os"
	"path/filepath"
	"testing"
)

// NeedControlPlane starts a control plane that ends with the test. Binaries and
// Dir may be empty.
func NeedControlPlane(tb testing.TB, o ControlPlaneOptions) *ControlPlane {
	tb.Helper()
	if max(o.Schedulers, o.ControllerManagers) > 1 {
		needRoot(tb, "several schedulers on one machine need host names of their own")
	}
	if o.Binaries == "" {
		o.Binaries = binaries(tb, "etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager")
	}
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	c, err := StartControlPlane(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range c.Processes() {
		showLog(tb, p)
	}
	stopAtEnd(tb, c)
	return c
}

// NeedHollowNodes starts kubemark nodes that end with the test. Binary and Dir
// may be empty.
func NeedHollowNodes(tb testing.TB, o HollowNodesOptions) []*HollowNode {
	tb.Helper()
	needRoot(tb, "a kubemark node needs an /etc/hosts of its own")
	fill(tb, "kubemark", &o.Binary, &o.Dir)
	nodes, err := StartHollowNodes(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	for _, n := range nodes {
		showLog(tb, n.Process)
		stopAtEnd(tb, n)
	}
	return nodes
}

// NeedCluster starts a cluster that ends with the test. Binaries and Dir may be
// empty.
func NeedCluster(tb testing.TB, o ClusterOptions) *Cluster {
	tb.Helper()
	needRoot(tb, "nodes are network namespaces with mounts and cgroups of their own")
	need(tb, "containerd", "ctr", "runc", "ip", "nft", "iptables", "conntrack")
	if o.Binaries == "" {
		o.Binaries = binaries(tb, "etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "kubelet", "kube-proxy", "kubectl")
	}
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	c, err := StartCluster(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range c.Processes() {
		showLog(tb, p)
	}
	stopAtEnd(tb, c)
	return c
}

// binaries is the one directory that the programs are in.
func binaries(tb testing.TB, names ...string) string {
	tb.Helper()
	var dir string
	for _, name := range names {
		dir = filepath.Dir(Binary(tb, name))
	}
	return dir
}

// needRoot skips the test without root, or fails it when CI=true.
func needRoot(tb testing.TB, why string) {
	tb.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		tb.Fatal(why + ", and that needs root")
	}
	tb.Skip(why + ", and that needs root")
}
