package collectors

import (
	"net"
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// certFolder is a folder in which an installer keeps certificates.
type certFolder struct {
	installer string
	path      string
	walk      bool // everything below it counts, not only what rules names
	// manifests is where the installer's static pods are described; empty
	// when it has none.
	manifests string
	rules     []certRule
}

// certRule is what is certain of one file. The first that matches holds.
type certRule struct {
	file string // below the folder; with wildcards in the last part
	// ca is the file with the authority that must have signed it: below the
	// folder, or an absolute path. Not judged when that does not exist.
	ca        string
	authority bool
	// must are the names and addresses without which it is of no use to some
	// client that is always there, should those that it has by the installer's
	// documents. Words such as $NODE stand for what the node's files say.
	must, should []string
	rotated      bool // the kubelet renews it
	minor        bool // nothing breaks at once: at most a warning
	kubeconfig   bool
}

// What is read from the node's files, for certRule.must and should.
const (
	nodeWord       = "$NODE"        // the node's name in Kubernetes
	serviceWord    = "$SERVICE"     // ClusterIP of the API
	advertiseWord  = "$ADVERTISE"   // address the API server tells others
	etcdClientWord = "$ETCD_CLIENT" // address etcd tells its clients
	etcdPeerWord   = "$ETCD_PEER"   // address etcd tells its peers
	kubeadmCA      = "/etc/kubernetes/pki/ca.crt"
)

// kubeletClients are the certificates by which kubelets name their node.
var kubeletClients = []string{
	"/var/lib/kubelet/pki/kubelet-client-current.pem",
	"/var/lib/rancher/k3s/agent/client-kubelet.crt",
	"/var/lib/rancher/rke2/agent/client-kubelet.crt",
}

// certFolders are the layouts: kubeadm's by "PKI certificates and
// requirements" in Kubernetes' documentation, those of k3s and RKE2 by
// "k3s certificate" in theirs.
var certFolders = append(append([]certFolder{
	{installer: "kubeadm", path: "/etc/kubernetes/pki", walk: true, manifests: "/etc/kubernetes/manifests", rules: []certRule{
		{file: "ca.crt", authority: true},
		{file: "front-proxy-ca.crt", authority: true},
		{file: "etcd/ca.crt", authority: true},
		{file: "apiserver.crt", ca: "ca.crt", must: []string{serviceWord},
			should: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", advertiseWord}},
		{file: "apiserver-kubelet-client.crt", ca: "ca.crt"},
		{file: "apiserver-etcd-client.crt", ca: "etcd/ca.crt"},
		{file: "front-proxy-client.crt", ca: "front-proxy-ca.crt"},
		{file: "etcd/server.crt", ca: "etcd/ca.crt", must: []string{"127.0.0.1"}, should: []string{"localhost", etcdClientWord}},
		{file: "etcd/peer.crt", ca: "etcd/ca.crt", must: []string{etcdPeerWord}},
		{file: "etcd/healthcheck-client.crt", ca: "etcd/ca.crt"},
	}},
	{installer: "kubeadm", path: "/etc/kubernetes", rules: []certRule{
		{file: "admin.conf", ca: kubeadmCA, kubeconfig: true},
		{file: "super-admin.conf", ca: kubeadmCA, kubeconfig: true},
		{file: "controller-manager.conf", ca: kubeadmCA, kubeconfig: true},
		{file: "scheduler.conf", ca: kubeadmCA, kubeconfig: true},
		{file: "kubelet.conf", ca: kubeadmCA, kubeconfig: true},
		{file: "bootstrap-kubelet.conf", ca: kubeadmCA, kubeconfig: true, minor: true},
	}},
	// Not walked: the kubelet leaves its earlier certificates there.
	{installer: "kubelet", path: "/var/lib/kubelet/pki", rules: []certRule{
		{file: "kubelet-client-current.pem", ca: kubeadmCA, rotated: true},
		{file: "kubelet-server-current.pem", should: []string{nodeWord}, rotated: true},
		// Signed by nobody, so the API server cannot and does not verify it.
		{file: "kubelet.crt", should: []string{nodeWord}, minor: true},
	}},
}, rancherFolders("k3s", "")...), rancherFolders("rke2", "/var/lib/rancher/rke2/agent/pod-manifests")...)

// rancherFolders are those of k3s, which RKE2 is built of.
func rancherFolders(name, manifests string) []certFolder {
	base := "/var/lib/rancher/" + name
	server := base + "/server/tls"
	return []certFolder{
		{installer: name, path: server, walk: true, manifests: manifests, rules: []certRule{
			{file: "*-ca.crt", authority: true},
			{file: "*-ca.nochain.crt", authority: true},
			{file: "etcd/*-ca.crt", authority: true},
			{file: "client-auth-proxy.crt", ca: "request-header-ca.crt"},
			{file: "client-*.crt", ca: "client-ca.crt"},
			{file: "serving-kube-apiserver.crt", ca: "server-ca.crt", must: []string{serviceWord},
				should: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1"}},
			{file: "kube-controller-manager/kube-controller-manager.crt", ca: "server-ca.crt"},
			{file: "kube-scheduler/kube-scheduler.crt", ca: "server-ca.crt"},
			{file: "etcd/client.crt", ca: "etcd/server-ca.crt"},
			{file: "etcd/server-client.crt", ca: "etcd/server-ca.crt", should: []string{"127.0.0.1"}},
			{file: "etcd/peer-server-client.crt", ca: "etcd/peer-ca.crt"},
		}},
		// Not walked: images and the state of containers lie below it.
		{installer: name, path: base + "/agent", rules: []certRule{
			{file: "client-ca.crt", authority: true},
			{file: "server-ca.crt", authority: true},
			{file: "client-*.crt", ca: "client-ca.crt"},
			{file: "serving-kubelet.crt", ca: "server-ca.crt", should: []string{nodeWord}},
		}},
		{installer: name, path: "/etc/rancher/" + name, rules: []certRule{
			{file: name + ".yaml", ca: server + "/client-ca.crt", kubeconfig: true},
		}},
	}
}

// within is the path of a file that a rule names.
func (f *certFolder) within(file string) string {
	if path.IsAbs(file) {
		return file
	}
	return path.Join(f.path, file)
}

// certWords reads what the words of the rules stand for. A word without a
// meaning is not in the map: then nothing is expected.
func certWords(paths Paths, node, manifests string) map[string][]string {
	words := map[string][]string{nodeWord: {node}}
	if manifests == "" {
		return words
	}
	// A manifest that cannot be read says nothing.
	api, _ := paths.flagsOf(manifests+"/kube-apiserver.yaml", "kube-apiserver")
	// The API's own Service has the first address of the first range.
	first, _, _ := strings.Cut(api["service-cluster-ip-range"], ",")
	if network, err := netip.ParsePrefix(first); err == nil {
		words[serviceWord] = []string{network.Masked().Addr().Next().String()}
	}
	if address := api["advertise-address"]; address != "" {
		words[advertiseWord] = []string{address}
	}
	etcd, _ := paths.flagsOf(manifests+"/etcd.yaml", "etcd")
	words[etcdClientWord] = hostsOf(etcd["advertise-client-urls"])
	words[etcdPeerWord] = hostsOf(etcd["initial-advertise-peer-urls"])
	return words
}

// hostsOf are the hosts of a list of URLs, without those that mean any.
func hostsOf(urls string) []string {
	var hosts []string
	for _, text := range strings.Split(urls, ",") {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			continue
		}
		if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsUnspecified() {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}
