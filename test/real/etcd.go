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
	"strings"
	"time"
)

// EtcdOptions says what cluster StartEtcd makes. Binary and Dir are required.
type EtcdOptions struct {
	Binary, Dir string
	Members     int       // 0: one
	PKI         *PKI      // nil: plain http; else the client port wants a client certificate of it
	NotAfter    time.Time // of the members' certificate; zero: as of CertOptions
	QuotaBytes  int64     // 0: etcd's own default
	ExtraArgs   []string
	DataDir     func(i int) string // of member i; nil: a folder under Dir
	Log         io.Writer
}

// Etcd is a cluster of etcd members on loopback.
type Etcd struct {
	Members    []*EtcdMember
	ClientCert Cert // for clients; empty without PKI
}

// EtcdMember is one member. Its metrics port is open to everybody, as kubeadm
// sets it up.
type EtcdMember struct {
	*Process
	Name       string
	ClientURL  string
	PeerURL    string
	MetricsURL string // without path
	DataDir    string
}

// StartEtcd starts a new cluster and returns when all its members are
// healthy. ctx bounds the start, not the life of the members.
func StartEtcd(ctx context.Context, o EtcdOptions) (*Etcd, error) {
	o.Members, o.Log = max(o.Members, 1), shared(o.Log)
	var e *Etcd
	err := withFreshPorts(func() (err error) {
		e, err = startEtcd(ctx, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("starting etcd: %w", err)
	}
	return e, nil
}

func startEtcd(ctx context.Context, o EtcdOptions) (*Etcd, error) {
	e := &Etcd{}
	var server Cert
	if o.PKI != nil {
		var err error
		// Both usages: etcd's HTTP gateway calls its own gRPC port with it.
		names := loopback()
		names.NotAfter = o.NotAfter
		if server, err = o.PKI.Issue("etcd", names); err != nil {
			return nil, err
		}
		if e.ClientCert, err = o.PKI.Issue("etcd-client", CertOptions{Client: true}); err != nil {
			return nil, err
		}
	}
	if err := e.plan(o); err != nil {
		return nil, err
	}
	for _, m := range e.Members {
		// Only this package's own earlier attempt can have left anything.
		if err := os.RemoveAll(filepath.Join(m.DataDir, "member")); err != nil {
			return nil, fmt.Errorf("clearing the data of %s: %w", m.Name, err)
		}
		m.Process = NewProcess(Command{Name: m.Name, Path: o.Binary, Args: e.args(m, server, o), Log: o.Log})
		if err := m.Process.Start(); err != nil {
			return nil, errors.Join(err, e.Stop())
		}
	}
	for _, m := range e.Members {
		if err := awaitReady(ctx, m.Process, answers200(plainClient(), m.MetricsURL+"/health")); err != nil {
			return nil, errors.Join(err, e.Stop())
		}
	}
	return e, nil
}

// plan gives every member its name, ports and directory.
func (e *Etcd) plan(o EtcdOptions) error {
	scheme := "http"
	if o.PKI != nil {
		scheme = "https"
	}
	for i := range o.Members {
		ports, err := freePorts(3)
		if err != nil {
			return err
		}
		m := &EtcdMember{
			Name:       fmt.Sprintf("etcd-%d", i),
			ClientURL:  loopbackURL(scheme, ports[0]),
			PeerURL:    loopbackURL("http", ports[1]),
			MetricsURL: loopbackURL("http", ports[2]),
			DataDir:    filepath.Join(o.Dir, fmt.Sprintf("etcd-%d", i)),
		}
		if o.DataDir != nil {
			m.DataDir = o.DataDir(i)
		}
		if err := os.MkdirAll(m.DataDir, 0o700); err != nil {
			return fmt.Errorf("making the data directory of %s: %w", m.Name, err)
		}
		e.Members = append(e.Members, m)
	}
	return nil
}

func (e *Etcd) args(m *EtcdMember, server Cert, o EtcdOptions) []string {
	cluster := make([]string, len(e.Members))
	for i, member := range e.Members {
		cluster[i] = member.Name + "=" + member.PeerURL
	}
	args := []string{
		"--name=" + m.Name,
		"--data-dir=" + m.DataDir,
		"--listen-client-urls=" + m.ClientURL,
		"--advertise-client-urls=" + m.ClientURL,
		"--listen-peer-urls=" + m.PeerURL,
		"--initial-advertise-peer-urls=" + m.PeerURL,
		"--listen-metrics-urls=" + m.MetricsURL,
		"--initial-cluster=" + strings.Join(cluster, ","),
		"--initial-cluster-state=new",
	}
	if o.PKI != nil {
		args = append(args, "--cert-file="+server.CertFile, "--key-file="+server.KeyFile,
			"--trusted-ca-file="+o.PKI.CAFile(), "--client-cert-auth=true")
	}
	if o.QuotaBytes > 0 {
		args = append(args, "--quota-backend-bytes="+strconv.FormatInt(o.QuotaBytes, 10))
	}
	return append(args, o.ExtraArgs...)
}

// Start runs a member that has ended again, with the same data and ports. It
// returns when the member is healthy, so start the others first where the
// quorum needs them: by Process.Start, which does not wait.
func (m *EtcdMember) Start(ctx context.Context) error {
	if err := m.Process.Start(); err != nil {
		return err
	}
	return awaitReady(ctx, m.Process, answers200(plainClient(), m.MetricsURL+"/health"))
}

// Endpoints are the members' client URLs.
func (e *Etcd) Endpoints() []string {
	urls := make([]string, len(e.Members))
	for i, m := range e.Members {
		urls[i] = m.ClientURL
	}
	return urls
}

// Stop ends the members one after the other: all at once, the leader would
// wait for seconds to hand over to members that are about to end. The data
// stays.
func (e *Etcd) Stop() error {
	var errs []error
	for _, m := range e.Members {
		if m.Process != nil {
			errs = append(errs, m.Stop())
		}
	}
	return errors.Join(errs...)
}

func loopbackURL(scheme string, port int) string { return scheme + "://" + loopbackAddr(port) }

func loopbackAddr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
