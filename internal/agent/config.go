package agent

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/procfs"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// Config is what the flags say. Empty file names mean that there is none.
type Config struct {
	Node        string
	Version     string // of this program
	ConfigFile  string
	StoragePath string
	Paths       collectors.Paths

	WebListen      string // host:port; port 0 takes a free one
	WebConfigFile  string // TLS and basic auth
	WebMaxRequests int    // scrapes answered at once; 0: any number
	WebTimestamps  bool

	MeshBind      string
	MeshExchange  string
	MeshAdvertise string
	MeshJoin      []string
	MeshCluster   string
	MeshKeyFile   string
	MeshTLS       mesh.TLSFiles
	MeshInsecure  bool   // bind anything without keys
	EchoListen    string // host:port, UDP and TCP
	StaleAfter    time.Duration
	ForgetAfter   time.Duration
	MeshZone      string // where this node is; may be empty
	ByteBudget    int    // bytes a second; see mesh.Config

	// StartGrace is how long after the node's boot its bad verdicts are
	// excused.
	StartGrace time.Duration

	// Collectors are the checks that were switched on or off by hand; the
	// others run when their subject is on this node, unless
	// NoDefaultCollectors is set.
	Collectors          map[string]bool
	NoDefaultCollectors bool

	Logger log.Logger
}

// publishInterval is the pace of frames in all but large clusters, and with it
// how soon a dead node shows: three of them and two seconds.
const publishInterval = 5 * time.Second

// exchangeInterval is the pace of anti-entropy.
const exchangeInterval = time.Second

// secured reports whether both the gossip and the exchange have keys, and
// names the flag that is missing when some are given and others are not.
func (c *Config) secured() (bool, error) {
	given := map[string]string{
		"--mesh.key-file": c.MeshKeyFile, "--mesh.tls-ca": c.MeshTLS.CA,
		"--mesh.tls-cert": c.MeshTLS.Cert, "--mesh.tls-key": c.MeshTLS.Key,
	}
	tls := []string{"--mesh.tls-ca", "--mesh.tls-cert", "--mesh.tls-key"}
	some, missing := false, ""
	for _, flag := range tls {
		if given[flag] != "" {
			some = true
		} else {
			missing = flag
		}
	}
	if some && missing != "" {
		return false, fmt.Errorf("%s: missing, though others of --mesh.tls-ca, --mesh.tls-cert and --mesh.tls-key are given", missing)
	}
	return some && c.MeshKeyFile != "", nil
}

// checkAddresses refuses to bind more than loopback without keys.
func (c *Config) checkAddresses() error {
	secured, err := c.secured()
	if err != nil {
		return err
	}
	for _, a := range []struct{ flag, address string }{
		{"--mesh.bind", c.MeshBind}, {"--mesh.exchange", c.MeshExchange}, {"--web.listen-address", c.WebListen}, {"--echo.listen-address", c.EchoListen},
	} {
		host, _, err := net.SplitHostPort(a.address)
		if err != nil {
			return fmt.Errorf("%s: %q is not host:port", a.flag, a.address)
		}
		if !secured && !c.MeshInsecure && !loopback(host) {
			return fmt.Errorf("%s: %s is not loopback, and the mesh has no keys: give --mesh.key-file and --mesh.tls-ca, --mesh.tls-cert, --mesh.tls-key (grapevine keygen makes them), or allow it with --mesh.insecure", a.flag, a.address)
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// startedUntil is until when the node counts as just started; zero when the
// kernel does not tell when it was booted.
func (c *Config) startedUntil() time.Time {
	proc, err := procfs.NewFS(c.Paths.Proc)
	if err != nil {
		return time.Time{}
	}
	stat, err := proc.Stat()
	if err != nil {
		return time.Time{}
	}
	return time.Unix(int64(stat.BootTime), 0).Add(c.StartGrace)
}

// mesh reads the keys and returns the configuration of the mesh, but for the
// registry.
func (c *Config) mesh() (mesh.Config, error) {
	m := mesh.Config{
		Node: c.Node, Cluster: c.MeshCluster, Version: c.Version,
		Bind: c.MeshBind, Exchange: c.MeshExchange, Advertise: c.MeshAdvertise, Join: c.MeshJoin,
		StoragePath:     c.StoragePath,
		PublishInterval: publishInterval, ExchangeInterval: exchangeInterval,
		StaleAfter: c.StaleAfter, ForgetAfter: c.ForgetAfter, ByteBudget: c.ByteBudget,
		Limits: mesh.DefaultLimits(), Logger: c.Logger,
	}
	if c.MeshZone != "" {
		m.Tags = map[string]string{mesh.TagZone: c.MeshZone}
	}
	if c.MeshTLS != (mesh.TLSFiles{}) {
		m.TLS = &c.MeshTLS
	}
	if c.MeshKeyFile == "" {
		return m, nil
	}
	var err error
	if m.GossipKeys, err = readKeys(c.MeshKeyFile); err != nil {
		return m, fmt.Errorf("--mesh.key-file: %w", err)
	}
	return m, nil
}

// maxKeyFile bounds what is read: a key is one short line.
const maxKeyFile = 4096

// readKeys reads one key a line: the first is to send with, all are accepted.
// Errors show no key.
func readKeys(file string) ([][]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("%s is not a key file", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for i, line := range bytes.Split(text, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: is not base64, as grapevine keygen gossip prints it", file, i+1)
		}
		if n := len(key); n != 16 && n != 24 && n != 32 {
			return nil, fmt.Errorf("%s:%d: holds a key of %d bytes; 16, 24 or 32 are wanted", file, i+1, n)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no key", file)
	}
	return keys, nil
}

// warn logs what is allowed, but wants a look.
func (c *Config) warn() {
	if secured, err := c.secured(); err == nil && !secured && c.MeshInsecure {
		level.Warn(c.Logger).Log("msg", "the mesh has no keys: whoever reaches its ports can join and speak", "flag", "--mesh.insecure")
	}
	for _, file := range []string{c.MeshKeyFile, c.MeshTLS.Key} {
		if info, err := os.Stat(file); file != "" && err == nil && info.Mode().Perm()&0o007 != 0 {
			level.Warn(c.Logger).Log("msg", "everybody on this host can use a key of the mesh; chmod o= it", "file", file)
		}
	}
}

// validate holds what can be seen without touching anything.
func (c *Config) validate() error {
	if c.StoragePath == "" {
		return errors.New("--storage.path: must not be empty")
	}
	return c.checkAddresses()
}
