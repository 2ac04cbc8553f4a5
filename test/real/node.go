package real

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Node is a host with containerd, kubelet and kube-proxy. To run a program on
// it, give the node as Command.In its Host, or use Run.
type Node struct {
	*Host
	Name       string // node-0, node-1, ...
	IP         string
	PodCIDR    string
	Containerd *Containerd
	Kubelet    *Process
	Proxy      *Process
	Kubeconfig string // of the kubelet, by client certificate
	// KubeletURL wants a token or a client certificate of the cluster's CA,
	// and shows ServingCert. HealthURL is open to all.
	KubeletURL, HealthURL string
	ServingCert           Cert
	ManifestDir           string // of static pods
}

// startNode returns when containerd runs, the kubelet has registered the node,
// and pods have a network.
func (c *Cluster) startNode(ctx context.Context, i int, o ClusterOptions) (*Node, error) {
	host, err := StartHost(ctx, HostOptions{})
	if err != nil {
		return nil, err
	}
	ip := c.wires.node(i)
	n := &Node{
		Host: host, Name: fmt.Sprintf("node-%d", i), IP: ip,
		KubeletURL: "https://" + net.JoinHostPort(ip, "10250"), HealthURL: "http://" + net.JoinHostPort(ip, "10248"),
	}
	if err := c.furnish(ctx, n, i, o); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", n.Name, err), host.Stop())
	}
	return n, nil
}

func (c *Cluster) furnish(ctx context.Context, n *Node, i int, o ClusterOptions) error {
	if err := c.wires.plug(ctx, n.Host, i); err != nil {
		return err
	}
	if out, err := n.Run(ctx, "/bin/sh", "-ec", ownFolders, "sh", n.Dir); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var err error
	if n.Containerd, err = StartContainerd(ctx, ContainerdOptions{Binary: o.Containerd, Host: n.Host, Log: o.Log}); err != nil {
		return err
	}
	if err := c.startKubelet(n, o); err != nil {
		return err
	}
	if n.PodCIDR, err = c.podCIDR(ctx, n); err != nil {
		return err
	}
	if err := n.Containerd.ConfigureNetwork(n.PodCIDR); err != nil {
		return err
	}
	return c.startProxy(n, o)
}

// ownFolders gives a host its own view of the folders that kubelet and CNI
// write to wherever they are told to live. $1 is the host's.
const ownFolders = `
for name in lib log; do
	mkdir -p "$1/var/$name" "$1/var/.$name"
	mount -t overlay -o "lowerdir=/var/$name,upperdir=$1/var/$name,workdir=$1/var/.$name" overlay "/var/$name"
done
`

func (c *Cluster) startKubelet(n *Node, o ClusterOptions) error {
	api := c.APIServer
	var err error
	if n.Kubeconfig, err = api.KubeconfigFor("system:node:"+n.Name, "system:nodes"); err != nil {
		return err
	}
	names := CertOptions{DNS: []string{n.Name}, IPs: []net.IP{net.ParseIP(n.IP), net.IPv4(127, 0, 0, 1)}, Server: true}
	if n.ServingCert, err = api.pki.Issue("kubelet-"+n.Name, names); err != nil {
		return err
	}
	dir := filepath.Join(n.Dir, "kubelet")
	n.ManifestDir = filepath.Join(n.Dir, "manifests")
	for _, d := range []string{dir, n.ManifestDir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	resolv := filepath.Join(n.Dir, "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 127.0.0.1\n"), 0o600); err != nil {
		return err
	}
	config := filepath.Join(n.Dir, "kubelet.yaml")
	text := fmt.Sprintf(kubeletConfig, n.IP, n.Containerd.Socket, n.ManifestDir, resolv, api.CAFile, n.ServingCert.CertFile, n.ServingCert.KeyFile)
	if err := os.WriteFile(config, []byte(text+o.KubeletConfig), 0o600); err != nil {
		return err
	}
	n.Kubelet = NewProcess(Command{Name: "kubelet on " + n.Name, Path: filepath.Join(o.Binaries, "kubelet"), Log: o.Log, In: n.Host, Args: []string{
		"--config=" + config, "--kubeconfig=" + n.Kubeconfig, "--hostname-override=" + n.Name, "--node-ip=" + n.IP,
		"--root-dir=" + dir, "--cert-dir=" + filepath.Join(dir, "pki"), "--v=2",
	}})
	return n.Kubelet.Start()
}

// kubeletConfig is for a machine that may be full, without swap off, systemd
// or cgroups of version 2.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %s
healthzBindAddress: 0.0.0.0
containerRuntimeEndpoint: unix://%s
staticPodPath: %s
resolvConf: %s
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %s}}
authorization: {mode: Webhook}
tlsCertFile: %s
tlsPrivateKeyFile: %s
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
clusterDNS: [` + dnsAddress + `]
clusterDomain: cluster.local
nodeStatusUpdateFrequency: 5s
evictionHard: {memory.available: 50Mi, nodefs.available: 1%%, imagefs.available: 1%%, nodefs.inodesFree: 1%%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
`

// podCIDR waits until the controller manager has given the node its part.
func (c *Cluster) podCIDR(ctx context.Context, n *Node) (string, error) {
	var node struct {
		Spec struct {
			PodCIDR string `json:"podCIDR"`
		} `json:"spec"`
	}
	err := awaitReady(ctx, n.Kubelet, func(ctx context.Context) error {
		err := c.APIServer.Get(ctx, "/api/v1/nodes/"+n.Name, &node)
		if err == nil && node.Spec.PodCIDR == "" {
			err = fmt.Errorf("%s has no part of the pods' addresses", n.Name)
		}
		return err
	})
	return node.Spec.PodCIDR, err
}

func (c *Cluster) startProxy(n *Node, o ClusterOptions) error {
	kubeconfig, err := c.APIServer.KubeconfigFor("system:kube-proxy")
	if err != nil {
		return err
	}
	config := filepath.Join(n.Dir, "kube-proxy.yaml")
	text := fmt.Sprintf(proxyConfig, o.ProxyMode, n.Name, kubeconfig, c.wires.pods())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	n.Proxy = NewProcess(Command{
		Name: "kube-proxy on " + n.Name, Path: filepath.Join(o.Binaries, "kube-proxy"), Args: []string{"--config=" + config}, Log: o.Log, In: n.Host,
	})
	return n.Proxy.Start()
}

// proxyReady waits until kube-proxy has written its rules.
func (n *Node) proxyReady(ctx context.Context) error {
	return awaitReady(ctx, n.Proxy, answers200(plainClient(), "http://"+n.IP+":10256/healthz"))
}

// proxyConfig leaves the kernel's own limits of connection tracking: they are
// this machine's.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: %s
hostnameOverride: %s
clientConnection: {kubeconfig: %s}
clusterCIDR: %s
healthzBindAddress: 0.0.0.0:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`
