package real

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ContainerdOptions says what containerd StartContainerd makes. Binary and
// Host are required.
type ContainerdOptions struct {
	Binary  string
	Host    *Host
	PodCIDR string // of the CNI network that is configured; empty: none, and the network is not ready
	Runtime string // path of the OCI runtime; empty: runc
	Log     io.Writer
}

// Containerd is a containerd with its CRI service, and PauseImage imported.
type Containerd struct {
	*Process
	Socket string // path
	CNIDir string // holds the CNI configuration

	host *Host
}

// StartContainerd returns when the new server answers. What it runs ends with
// its host. ctx bounds the start, not the life of the server.
func StartContainerd(ctx context.Context, o ContainerdOptions) (*Containerd, error) {
	c, err := startContainerd(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("starting containerd: %w", err)
	}
	return c, nil
}

func startContainerd(ctx context.Context, o ContainerdOptions) (*Containerd, error) {
	dir := filepath.Join(o.Host.Dir, "containerd")
	c := &Containerd{Socket: filepath.Join(dir, "containerd.sock"), CNIDir: filepath.Join(dir, "net.d"), host: o.Host}
	if err := os.MkdirAll(c.CNIDir, 0o700); err != nil {
		return nil, err
	}
	if o.PodCIDR != "" {
		if err := c.ConfigureNetwork(o.PodCIDR); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, []byte(containerdConfig(dir, c, o)), 0o600); err != nil {
		return nil, err
	}
	c.Process = NewProcess(Command{Name: "containerd", Path: o.Binary, Args: []string{"--config=" + config}, Log: o.Log, In: o.Host})
	if err := c.Start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	image, err := WriteImage(ctx, dir, PauseImage, nil)
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	if err := c.Import(ctx, image); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// containerdConfig is for containerd 1.6 and later of that major version.
func containerdConfig(dir string, c *Containerd, o ContainerdOptions) string {
	return fmt.Sprintf(`version = 2
root = %[1]q
state = %[2]q
[grpc]
  address = %[3]q
[plugins."io.containerd.internal.v1.opt"]
  path = %[4]q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[5]q
  restrict_oom_score_adj = true # not every machine lets root go below 0
  disable_apparmor = true
  stats_collect_period = 1
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = %[6]q
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = %[7]q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), c.Socket, filepath.Join(dir, "opt"), PauseImage, c.CNIDir, o.Runtime)
}

// ConfigureNetwork writes a CNI configuration: a bridge in the host, pods with
// addresses of cidr. A running server sees it within a moment.
func (c *Containerd) ConfigureNetwork(cidr string) error {
	conflist := fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "pods", "plugins": [
	{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {
		"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}},
	{"type": "portmap", "capabilities": {"portMappings": true}}]}
`, filepath.Join(c.host.Dir, "ipam"), cidr)
	return os.WriteFile(filepath.Join(c.CNIDir, "10-pods.conflist"), []byte(conflist), 0o600)
}

// Start runs a server that has ended again, and returns when it answers.
func (c *Containerd) Start(ctx context.Context) error {
	if err := c.Process.Start(); err != nil {
		return err
	}
	return awaitReady(ctx, c.Process, func(ctx context.Context) error {
		_, err := c.Ctr(ctx, "version")
		return err
	})
}

// Import loads an image for CRI's use.
func (c *Containerd) Import(ctx context.Context, i Image) error {
	_, err := c.Ctr(ctx, "images", "import", i.Tar)
	return err
}

// Ctr runs containerd's own client in CRI's namespace and returns what it
// printed.
func (c *Containerd) Ctr(ctx context.Context, args ...string) (string, error) {
	return c.host.Run(ctx, "ctr", append([]string{"--address=" + c.Socket, "--namespace=k8s.io"}, args...)...)
}
