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
	fillAll(tb, &o.Binaries, &o.Dir, "etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager")
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
	fillAll(tb, &o.Binaries, &o.Dir, "etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "kubelet", "kube-proxy", "kubectl")
	needRoom(tb, o.Nodes)
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

// fillAll is fill for what needs several programs: in is the one directory that
// they are in.
func fillAll(tb testing.TB, in, dir *string, names ...string) {
	tb.Helper()
	if *in == "" {
		for _, name := range names {
			*in = filepath.Dir(Binary(tb, name))
		}
	}
	if *dir == "" {
		*dir = tb.TempDir()
	}
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
