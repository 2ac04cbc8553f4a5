package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// HollowNodesOptions says what StartHollowNodes makes. Binary and Dir are
// required.
type HollowNodesOptions struct {
	Binary, Dir  string
	ControlPlane *ControlPlane
	Count        int
	ExtraArgs    []string
	Log          io.Writer
}

// HollowNode is a kubemark node: a real kubelet that talks to the API server,
// above a container runtime that only claims to run what it is told.
type HollowNode struct {
	*Process
	Name       string // hollow-0, hollow-1, ...
	Kubeconfig string // of its kubelet
	URL        string // of its kubelet: plain http, open to all, unlike a real one's
}

// StartHollowNodes returns when the nodes are Ready. It needs root. ctx bounds
// the start, not the life of the nodes.
func StartHollowNodes(ctx context.Context, o HollowNodesOptions) ([]*HollowNode, error) {
	o.Log = shared(o.Log)
	var all []*HollowNode
	for i := range o.Count {
		n, err := startHollowNode(ctx, i, o)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("starting a hollow node: %w", err), stopHollowNodes(all))
		}
		all = append(all, n)
	}
	for _, n := range all {
		if err := awaitReady(ctx, n.Process, o.ControlPlane.APIServer.nodeReady(n.Name)); err != nil {
			return nil, errors.Join(fmt.Errorf("starting a hollow node: %w", err), stopHollowNodes(all))
		}
	}
	return all, nil
}

func stopHollowNodes(all []*HollowNode) error {
	return each(all, func(i int) error { return all[i].Stop() })
}

// hollowScript runs as what becomes kubemark, of the user $2. It writes to /tmp
// what it leaves behind, so its own directory $1 is what it sees there, with the
// program $3 in it. And it asks for its own address by its name at every turn,
// so $1/hosts is what it sees as /etc/hosts. A change of user would have it
// outlive this program.
const hollowScript = `set -e
touch "$1/kubemark"
chown -R "$2" "$1"
mount --bind "$3" "$1/kubemark"
mount --bind "$1/hosts" /etc/hosts
mount --rbind "$1" /tmp
user=$2
shift 3
exec setpriv --reuid="$user" --clear-groups --pdeathsig=KILL -- /tmp/kubemark "$@"
`

// hollowUsers is the user id of the first node. Each is another user, since one
// may have 128 instances of inotify, and fifty nodes need a hundred: nothing
// else would start beside them.
const hollowUsers = 100_000

func startHollowNode(ctx context.Context, i int, o HollowNodesOptions) (*HollowNode, error) {
	name := fmt.Sprintf("hollow-%d", i)
	n := &HollowNode{Name: name}
	dir := filepath.Join(o.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if n.Kubeconfig, err = o.ControlPlane.APIServer.KubeconfigFor("system:node:"+name, "system:nodes"); err != nil {
		return nil, err
	}
	if err := embedKubeconfig(n.Kubeconfig, filepath.Join(dir, "kubeconfig")); err != nil {
		return nil, err
	}
	address, err := machineAddress()
	if err != nil {
		return nil, err
	}
	hosts := fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", address, name)
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte(hosts), 0o600); err != nil {
		return nil, err
	}
	return n, withFreshPorts(func() error {
		ports, err := freePorts(2)
		if err != nil {
			return err
		}
		n.URL = loopbackURL("http", ports[0])
		args := append([]string{"--mount", "--", "/bin/sh", "-c", hollowScript, "sh", dir, strconv.Itoa(hollowUsers + i), o.Binary,
			"--morph=kubelet", "--name=" + name, "--kubeconfig=/tmp/kubeconfig", "--use-host-image-service=false",
			"--kubelet-port=" + strconv.Itoa(ports[0]), "--kubelet-read-only-port=" + strconv.Itoa(ports[1])}, o.ExtraArgs...)
		n.Process = NewProcess(Command{Name: name, Path: "/usr/bin/unshare", Args: args, Log: o.Log})
		if err := n.Start(); err != nil {
			return err
		}
		if err := awaitReady(ctx, n.Process, answers200(plainClient(), n.URL+"/healthz")); err != nil {
			return errors.Join(err, n.Stop())
		}
		return nil
	})
}

// machineAddress is an address by which nodes may be known: not a loopback one.
func machineAddress() (net.IP, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if a, ok := a.(*net.IPNet); ok && a.IP.To4() != nil && a.IP.IsGlobalUnicast() {
			return a.IP, nil
		}
	}
	return nil, errors.New("this machine has no IPv4 address beside loopback, and a node needs one")
}

// embedKubeconfig copies a kubeconfig with the files that it names in it.
func embedKubeconfig(from, to string) error {
	c, err := clientcmd.LoadFromFile(from)
	if err == nil {
		err = clientcmdapi.FlattenConfig(c)
	}
	if err == nil {
		err = clientcmd.WriteToFile(*c, to)
	}
	if err != nil {
		return fmt.Errorf("copying a kubeconfig: %w", err)
	}
	return nil
}
