package collectors

import (
	"path/filepath"
	"slices"
)

// maxPlaces bounds the paths of the disk check, and with them its goroutines
// and series.
const maxPlaces = 32

// diskPlace is a path that matters.
type diskPlace struct {
	path  string
	holds string // what lies there, for a reason: "etcd's data"; empty: nothing to say
	paths Paths  // where the path is to be found, and its mount
	use   diskUse

	// optional places are there on some nodes only.
	optional bool
}

// diskUse is what happens to a place.
type diskUse int

const (
	looked  diskUse = iota // it may be read-only for good
	written                // others write there, we do not
	probed                 // we write there, too
)

// etcdDataDirs are where kubeadm, k3s and RKE2 keep etcd's data.
var etcdDataDirs = []string{
	"/var/lib/etcd",
	"/var/lib/rancher/k3s/server/db/etcd",
	"/var/lib/rancher/rke2/server/db/etcd",
}

// etcdManifest is where kubeadm tells the kubelet how to run etcd. It mounts the
// data directory under the name it has on the node.
const etcdManifest = "/etc/kubernetes/manifests/etcd.yaml"

// etcdDirs are the usual ones, and the one that kubeadm was told to use.
func etcdDirs(paths Paths) []string {
	flags, err := paths.flagsOf(etcdManifest, "etcd")
	dir := filepath.Clean(flags["data-dir"])
	if err != nil || !filepath.IsAbs(dir) || slices.Contains(etcdDataDirs, dir) {
		return etcdDataDirs
	}
	return append([]string{dir}, etcdDataDirs...)
}

// places are the configured paths, or all that matter. Those where we may
// write come first: of each file system the first place is probed.
func (s *diskSettings) places(env Env) []diskPlace {
	var places []diskPlace
	for _, path := range s.Paths {
		places = append(places, diskPlace{path: filepath.Clean(path), holds: path, paths: env.Paths, use: probed})
	}
	if len(places) > 0 {
		return places
	}
	for _, dir := range etcdDirs(env.Paths) {
		places = append(places, diskPlace{path: dir, holds: "etcd's data", paths: env.Paths, use: probed, optional: true})
	}
	if env.StoragePath != "" {
		// Of the agent's own file system, also in a container.
		own := Paths{Proc: env.Paths.Proc, Sys: env.Paths.Sys, Root: "/"}
		places = append(places, diskPlace{path: env.StoragePath, holds: "the agent's state", paths: own, use: probed})
	}
	for _, other := range []struct{ path, holds string }{
		{"/var/lib/containerd", "containers and images"},
		{"/var/lib/docker", "containers and images"},
		{"/var/lib/containers", "containers and images"},
		{"/var/lib/rancher/k3s", "k3s's data, containers and images"},
		{"/var/lib/rancher/rke2", "RKE2's data, containers and images"},
		{"/var/lib/kubelet", "the kubelet's data and pod volumes"},
		{"/var/log", "logs"},
	} {
		places = append(places, diskPlace{path: other.path, holds: other.holds, paths: env.Paths, use: written, optional: true})
	}
	return append(places, diskPlace{path: "/", paths: env.Paths})
}
