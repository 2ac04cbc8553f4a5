package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

// DockerdOptions says what Docker daemon StartDockerd makes. Binary and Host
// are required.
type DockerdOptions struct {
	Binary    string
	Host      *Host
	Runtime   string // path of the OCI runtime; empty: runc
	ExtraArgs []string
	Log       io.Writer
}

// Dockerd is a Docker daemon without networks or images.
type Dockerd struct {
	*Process
	Socket  string // path
	DataDir string

	host *Host
	pid  string // path
}

// StartDockerd returns when the new daemon answers. What it runs ends with
// its host. ctx bounds the start, not the life of the daemon.
func StartDockerd(ctx context.Context, o DockerdOptions) (*Dockerd, error) {
	dir := filepath.Join(o.Host.Dir, "docker")
	d := &Dockerd{
		Socket: filepath.Join(dir, "docker.sock"), DataDir: filepath.Join(dir, "data"),
		host: o.Host, pid: filepath.Join(dir, "pid"),
	}
	if err := os.MkdirAll(d.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("starting dockerd: %w", err)
	}
	args := []string{
		"--host=unix://" + d.Socket,
		"--pidfile=" + d.pid,
		"--data-root=" + d.DataDir,
		"--exec-root=" + filepath.Join(dir, "exec"),
		"--config-file=" + filepath.Join(dir, "none.json"),
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
	}
	if o.Runtime != "" {
		args = append(args, "--add-runtime=own="+o.Runtime, "--default-runtime=own")
	}
	d.Process = NewProcess(Command{Name: "dockerd", Path: o.Binary, Args: append(args, o.ExtraArgs...), Log: o.Log, In: o.Host})
	if err := os.WriteFile(filepath.Join(dir, "none.json"), []byte("{}"), 0o600); err != nil {
		return nil, fmt.Errorf("starting dockerd: %w", err)
	}
	if err := d.Start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting dockerd: %w", err), d.Stop())
	}
	return d, nil
}

// Start runs a daemon that has ended again, and returns when it answers.
func (d *Dockerd) Start(ctx context.Context) error {
	// The pid in the file of a killed daemon is the host's, and may be of
	// another process by now.
	if err := os.RemoveAll(d.pid); err != nil {
		return err
	}
	if err := d.Process.Start(); err != nil {
		return err
	}
	return awaitReady(ctx, d.Process, answers200(d.client(), "http://docker/_ping"))
}

func (d *Dockerd) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
		},
	}}
}

// Import loads an image.
func (d *Dockerd) Import(ctx context.Context, i Image) error {
	_, err := d.Docker(ctx, "load", "--input="+i.Tar)
	return err
}

// Docker runs Docker's own client and returns what it printed.
func (d *Dockerd) Docker(ctx context.Context, args ...string) (string, error) {
	return d.host.Run(ctx, "docker", append([]string{"--host=unix://" + d.Socket}, args...)...)
}
