package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// ClusterOptions says what cluster StartCluster makes. Binaries and Dir are
// required.
type ClusterOptions struct {
	Binaries   string // the directory of etcd and of Kubernetes' programs
	Containerd string // empty: from $PATH
	Dir        string
	Nodes      int    // 0: one
	ProxyMode  string // of kube-proxy: nftables or iptables; empty: nftables
	// KubeletConfig are further lines of each kubelet's configuration.
	KubeletConfig string
	DNS           bool // whether pods have cluster DNS
	Log           io.Writer
}

// clusterLease is long: who loses a lease on a machine without time ends, and
// nobody starts it again.
const clusterLease = 90 * time.Second

// Cluster is a control plane on this machine, and nodes that are hosts of
// their own on one bridge with it: this program reaches all their addresses,
// and those of their pods, but no cluster address of a service.
type Cluster struct {
	*ControlPlane
	Nodes []*Node
	DNS   *ClusterDNS // nil without ClusterOptions.DNS

	wires *wires
}

// StartCluster returns when all nodes are Ready and their kube-proxies have
// written their rules. It needs root. ctx bounds the start, not the life of
// the cluster.
func StartCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	o.Nodes, o.Log = max(o.Nodes, 1), shared(o.Log)
	if o.ProxyMode == "" {
		o.ProxyMode = "nftables"
	}
	c := &Cluster{}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a cluster: %w", err), c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, o ClusterOptions) error {
	if o.Containerd == "" {
		var err error
		if o.Containerd, err = exec.LookPath("containerd"); err != nil {
			return err
		}
	}
	var err error
	if c.wires, err = newWires(ctx); err != nil {
		return err
	}
	c.ControlPlane, err = StartControlPlane(ctx, ControlPlaneOptions{
		Binaries: o.Binaries, Dir: o.Dir, Address: c.wires.address(), PodCIDR: c.wires.pods(),
		LeaseDuration: clusterLease, Log: o.Log,
	})
	if err != nil {
		return err
	}
	c.Nodes = make([]*Node, o.Nodes)
	err = each(c.Nodes, func(i int) (err error) {
		c.Nodes[i], err = c.startNode(ctx, i, o)
		return err
	})
	if err != nil {
		return err
	}
	if err := c.route(ctx); err != nil {
		return err
	}
	if o.DNS {
		if err := c.startDNS(ctx); err != nil {
			return err
		}
	}
	return each(c.Nodes, func(i int) error {
		n := c.Nodes[i]
		return errors.Join(awaitReady(ctx, n.Kubelet, c.APIServer.nodeReady(n.Name)),
			n.proxyReady(ctx))
	})
}

// route tells all where each node's pods are.
func (c *Cluster) route(ctx context.Context) error {
	for _, to := range c.Nodes {
		way := "ip route add " + to.PodCIDR + " via " + to.IP
		if err := runLines(ctx, way); err != nil {
			return err
		}
		for _, from := range c.Nodes {
			if from == to {
				continue
			}
			words := strings.Fields(way)
			if out, err := from.Run(ctx, words[0], words[1:]...); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
		}
	}
	return nil
}

// Processes are all of the cluster, to show their logs.
func (c *Cluster) Processes() []*Process {
	var all []*Process
	if c.ControlPlane != nil {
		all = c.ControlPlane.Processes()
	}
	for _, n := range c.Nodes {
		if n != nil {
			all = append(all, n.Containerd.Process, n.Kubelet, n.Proxy)
		}
	}
	return all
}

// Stop ends the nodes at once, with all that runs on them, and then the
// control plane.
func (c *Cluster) Stop() error {
	err := each(c.Nodes, func(i int) error {
		if c.Nodes[i] == nil {
			return nil
		}
		return c.Nodes[i].Stop()
	})
	if c.DNS != nil {
		err = errors.Join(err, c.DNS.Stop())
	}
	if c.ControlPlane != nil {
		err = errors.Join(err, c.ControlPlane.Stop())
	}
	if c.wires != nil {
		err = errors.Join(err, c.wires.remove())
		c.wires = nil
	}
	return err
}
