package real

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Component is a kube-scheduler or a kube-controller-manager on loopback. It
// leads, or stands by.
type Component struct {
	*Process
	URL        string // of its health and metrics
	Hostname   string // the one it knows: its lease is held by HOSTNAME_ and a random part
	Kubeconfig string // what it shows to the API server
	Cert       Cert   // it serves with; empty: one of its own, made at the start and kept in memory
}

// componentKind is what a Component is started as.
type componentKind struct {
	program string // also the name of its lease
	user    string
	args    []string
}

// startComponent returns when /healthz answers.
func (c *ControlPlane) startComponent(ctx context.Context, kind componentKind, i int, o ControlPlaneOptions) (*Component, error) {
	var started *Component
	err := withFreshPorts(func() error {
		port, err := FreePort()
		if err != nil {
			return err
		}
		m := &Component{URL: loopbackURL("https", port)}
		if m.Kubeconfig, err = c.APIServer.KubeconfigFor(kind.user); err != nil {
			return err
		}
		args := append([]string{
			"--kubeconfig=" + m.Kubeconfig,
			"--authentication-kubeconfig=" + m.Kubeconfig,
			"--authorization-kubeconfig=" + m.Kubeconfig,
			"--bind-address=127.0.0.1",
			"--secure-port=" + strconv.Itoa(port),
			"--leader-elect=true",
		}, kind.args...)
		if lease := o.LeaseDuration; lease > 0 {
			args = append(args, "--leader-elect-lease-duration="+lease.String(), "--leader-elect-renew-deadline="+(lease*2/3).String())
		}
		name := fmt.Sprintf("%s-%d", kind.program, i)
		if o.ServingCerts {
			if m.Cert, err = c.APIServer.pki.Issue(name, loopback()); err != nil {
				return err
			}
			args = append(args, "--tls-cert-file="+m.Cert.CertFile, "--tls-private-key-file="+m.Cert.KeyFile)
		}
		command := Command{Name: name, Path: o.binary(kind.program), Args: args, Log: o.Log}
		if m.Hostname, err = os.Hostname(); err != nil {
			return err
		}
		if i > 0 {
			m.Hostname = name
			command = withHostname(command, name)
		}
		m.Process = NewProcess(command)
		if err := m.Start(ctx); err != nil {
			return errors.Join(err, m.Stop())
		}
		started = m
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", kind.program, err)
	}
	return started, nil
}

// withHostname runs the command where the machine is called name. It is the
// command itself that gets its signals: each program here becomes the next.
func withHostname(c Command, name string) Command {
	script := `echo "$0" >/proc/sys/kernel/hostname && exec "$@"`
	c.Args = append([]string{"--uts", "--", "/bin/sh", "-c", script, name, c.Path}, c.Args...)
	c.Path = "/usr/bin/unshare"
	return c
}

// Start runs a component that has ended again, on the same port, and returns
// when it answers. It need not lead then.
func (m *Component) Start(ctx context.Context) error {
	if err := m.Process.Start(); err != nil {
		return err
	}
	// The certificate may be one that nobody else knows.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	return awaitReady(ctx, m.Process, answers200(client, m.URL+"/healthz"))
}

// Lease is what a Component leads by, and what a node lives by.
type Lease struct {
	Holder      string    `json:"holderIdentity"` // HOSTNAME_ and a random part, or the node; empty: nobody
	Renewed     time.Time `json:"renewTime"`
	Transitions int       `json:"leaseTransitions"`
}

// Lease reads a lease by its namespace and name: kube-system and
// kube-scheduler, or kube-node-lease and the name of a node.
func (s *APIServer) Lease(ctx context.Context, namespace, name string) (Lease, error) {
	var object struct {
		Spec Lease `json:"spec"`
	}
	err := s.Get(ctx, "/apis/coordination.k8s.io/v1/namespaces/"+namespace+"/leases/"+name, &object)
	return object.Spec, err
}

// nodeReady asks once whether a node is Ready and holds its lease, which it
// makes a moment later.
func (s *APIServer) nodeReady(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		var node struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
		if err := s.Get(ctx, "/api/v1/nodes/"+name, &node); err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == "Ready" && c.Status != "True" {
				return fmt.Errorf("node %s is not Ready: %s", name, c.Message)
			}
		}
		_, err := s.Lease(ctx, "kube-node-lease", name)
		return err
	}
}

// Get reads the object at path, as an administrator.
func (s *APIServer) Get(ctx context.Context, path string, into any) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %.200s", path, resp.Status, body)
	}
	return json.Unmarshal(body, into)
}
