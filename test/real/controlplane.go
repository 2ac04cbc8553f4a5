package real

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ControlPlaneOptions says what control plane StartControlPlane makes.
// Binaries and Dir are required.
type ControlPlaneOptions struct {
	Binaries string // the directory of etcd and of Kubernetes' programs
	Dir      string
	Address  string // of the API server; empty: 127.0.0.1
	// Schedulers and ControllerManagers are how many of each there are; 0: one.
	// All but the first of a kind have a host name of their own, which needs
	// root.
	Schedulers, ControllerManagers int
	// LeaseDuration is theirs; 0: 15 s, within which Kubernetes' own renew it, or
	// end. A machine without time may keep them from it.
	LeaseDuration time.Duration
	// ServingCerts has both serve with certificates of the cluster's CA. As
	// kubeadm sets them up, each makes one of its own at its start.
	ServingCerts          bool
	PodCIDR               string // to give nodes parts of; empty: nodes get none
	APIServerArgs         []string
	SchedulerArgs         []string
	ControllerManagerArgs []string
	Log                   io.Writer
}

func (o *ControlPlaneOptions) binary(name string) string { return filepath.Join(o.Binaries, name) }

// ControlPlane is etcd, an API server, and components that talk to it.
type ControlPlane struct {
	Etcd               *Etcd
	APIServer          *APIServer
	Schedulers         []*Component
	ControllerManagers []*Component

	binaries string
}

// StartControlPlane returns when each component answers and each lease is
// held. ctx bounds the start, not the life of what is started.
func StartControlPlane(ctx context.Context, o ControlPlaneOptions) (*ControlPlane, error) {
	o.Log = shared(o.Log)
	c := &ControlPlane{binaries: o.Binaries}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a control plane: %w", err), c.Stop())
	}
	return c, nil
}

func (c *ControlPlane) start(ctx context.Context, o ControlPlaneOptions) error {
	var err error
	if c.Etcd, err = StartEtcd(ctx, EtcdOptions{Binary: o.binary("etcd"), Dir: o.Dir, Log: o.Log}); err != nil {
		return err
	}
	args, err := o.apiServerArgs()
	if err != nil {
		return err
	}
	c.APIServer, err = StartAPIServer(ctx, APIServerOptions{
		Binary: o.binary("kube-apiserver"), Dir: o.Dir, EtcdURL: c.Etcd.Endpoints()[0], Address: o.Address,
		ExtraArgs: append(args, o.APIServerArgs...), Log: o.Log,
	})
	if err != nil {
		return err
	}
	scheduler := componentKind{program: "kube-scheduler", user: "system:kube-scheduler", args: o.SchedulerArgs}
	manager := componentKind{program: "kube-controller-manager", user: "system:kube-controller-manager", args: append(c.managerArgs(o), o.ControllerManagerArgs...)}
	// The first of each goes first, and is the one that leads.
	for _, first := range []bool{true, false} {
		if err := errors.Join(
			c.startAll(ctx, scheduler, &c.Schedulers, o.Schedulers, first, o),
			c.startAll(ctx, manager, &c.ControllerManagers, o.ControllerManagers, first, o),
		); err != nil {
			return err
		}
	}
	return nil
}

// startAll starts the first component of a kind and waits until it leads, or
// starts the others.
func (c *ControlPlane) startAll(ctx context.Context, kind componentKind, all *[]*Component, count int, first bool, o ControlPlaneOptions) error {
	from, to := 1, max(count, 1)
	if first {
		from, to = 0, 1
	}
	for i := from; i < to; i++ {
		m, err := c.startComponent(ctx, kind, i, o)
		if err != nil {
			return err
		}
		*all = append(*all, m)
	}
	if !first {
		return nil
	}
	return awaitReady(ctx, (*all)[0].Process, func(ctx context.Context) error {
		lease, err := c.APIServer.Lease(ctx, "kube-system", kind.program)
		if err == nil && lease.Holder == "" {
			err = errors.New("nobody holds its lease")
		}
		return err
	})
}

// apiServerArgs are what nodes and aggregated servers need beyond an API
// server that stands alone.
func (o *ControlPlaneOptions) apiServerArgs() ([]string, error) {
	front, err := NewPKI(filepath.Join(o.Dir, "front-proxy"), "front-proxy-ca")
	if err != nil {
		return nil, err
	}
	client, err := front.Issue("front-proxy-client", CertOptions{Client: true})
	if err != nil {
		return nil, err
	}
	return []string{
		"--enable-admission-plugins=NodeRestriction",
		"--kubelet-preferred-address-types=InternalIP,Hostname",
		"--requestheader-client-ca-file=" + front.CAFile(),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + client.CertFile,
		"--proxy-client-key-file=" + client.KeyFile,
	}, nil
}

func (c *ControlPlane) managerArgs(o ControlPlaneOptions) []string {
	pki := c.APIServer.pki
	args := []string{
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + c.APIServer.serviceAccountKey(),
		"--root-ca-file=" + pki.CAFile(),
		"--cluster-signing-cert-file=" + pki.CAFile(),
		"--cluster-signing-key-file=" + pki.KeyFile(),
	}
	if o.PodCIDR != "" {
		args = append(args, "--allocate-node-cidrs", "--cluster-cidr="+o.PodCIDR)
	}
	return args
}

// Kubectl runs kubectl as an administrator, and returns what it printed.
// stdin may be empty.
func (c *ControlPlane) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.binaries, "kubectl"), append([]string{"--kubeconfig=" + c.APIServer.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, problems.String())
	}
	return out.String(), nil
}

// Processes are all of the control plane, to show their logs.
func (c *ControlPlane) Processes() []*Process {
	var all []*Process
	if c.Etcd != nil {
		for _, m := range c.Etcd.Members {
			all = append(all, m.Process)
		}
	}
	if c.APIServer != nil {
		all = append(all, c.APIServer.Process)
	}
	for _, m := range append(c.Schedulers[:len(c.Schedulers):len(c.Schedulers)], c.ControllerManagers...) {
		all = append(all, m.Process)
	}
	return all
}

// Stop ends all but etcd at once, and then etcd.
func (c *ControlPlane) Stop() error {
	components := append(c.Schedulers[:len(c.Schedulers):len(c.Schedulers)], c.ControllerManagers...)
	var wg sync.WaitGroup
	var err error
	if c.APIServer != nil {
		wg.Go(func() { err = c.APIServer.Stop() })
	}
	errs := each(components, func(i int) error { return components[i].Stop() })
	wg.Wait()
	err = errors.Join(err, errs)
	if c.Etcd != nil {
		err = errors.Join(err, c.Etcd.Stop())
	}
	return err
}

// each calls f for the index of each of all at once, and waits.
func each[T any](all []T, f func(i int) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
