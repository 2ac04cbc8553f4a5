package collectors

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// etcdSettings is the block "etcd" of the configuration file.
type etcdSettings struct {
	Timing `yaml:",inline"`

	// Endpoints are the client URLs to ask, "https://10.0.0.1:2379". Empty
	// means the member on this node, found by the files of its installer.
	Endpoints []string `yaml:"endpoints"`
	// MetricsURLs are the members' own metrics listeners, one for each of
	// Endpoints. Empty means the endpoints themselves.
	MetricsURLs []string `yaml:"metrics_urls"`

	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`

	// Username and PasswordFile are for clusters with user accounts.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`

	Thresholds etcdThresholds `yaml:"thresholds"`
}

// etcdThresholds are held against what one run sees.
type etcdThresholds struct {
	// ReadLatency of one key. etcd itself logs "took too long" from 100 ms
	// on; one second is its default election timeout.
	ReadLatency DurationLimits `yaml:"read_latency"`
	// WALFsyncP99: limits of etcd's mixin (etcdHighFsyncDurations). etcd asks
	// for less than 10 ms (Tuning, Hardware recommendations).
	WALFsyncP99 DurationLimits `yaml:"wal_fsync_p99"`
	// BackendCommitP99: 0.25 s is the limit of etcd's mixin
	// (etcdHighCommitDurations); etcd asks for less than 25 ms.
	BackendCommitP99 DurationLimits `yaml:"backend_commit_p99"`
	// PeerRoundTripP99: limit of etcd's mixin (etcdMemberCommunicationSlow).
	PeerRoundTripP99 DurationLimits `yaml:"peer_round_trip_p99"`
	// DatabaseQuota is the ratio of the quota that is used. 95 % is the limit
	// of etcd's mixin (etcdDatabaseQuotaLowSpace).
	DatabaseQuota Limits `yaml:"database_quota"`
	// AppliedLag in raft entries. At 5000 etcd refuses requests with "too
	// many requests".
	AppliedLag Limits `yaml:"applied_lag"`
	// LeaderChanges within 15 minutes: limit of etcd's mixin
	// (etcdHighNumberOfLeaderChanges).
	LeaderChanges Limits `yaml:"leader_changes"`
	// Certificate is the time left to the endpoint's certificate.
	Certificate ExpiryLimits `yaml:"certificate"`
}

func defaultEtcdSettings() *etcdSettings {
	return &etcdSettings{
		Timing: Timing{Interval: 3 * time.Second, Timeout: 2 * time.Second, FailureThreshold: 2, SuccessThreshold: 2},
		Thresholds: etcdThresholds{
			ReadLatency:      DurationLimits{Warning: 100 * time.Millisecond, Critical: time.Second},
			WALFsyncP99:      DurationLimits{Warning: 500 * time.Millisecond, Critical: time.Second},
			BackendCommitP99: DurationLimits{Warning: 250 * time.Millisecond, Critical: time.Second},
			PeerRoundTripP99: DurationLimits{Warning: 150 * time.Millisecond},
			DatabaseQuota:    Limits{Warning: 0.8, Critical: 0.95},
			AppliedLag:       Limits{Warning: 1000, Critical: 5000},
			LeaderChanges:    Limits{Warning: 4},

			Certificate: defaultExpiry(),
		},
	}
}

// Validate names the first impossible value by its key.
func (s *etcdSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	if err := validateEndpoints(s.Endpoints); err != nil {
		return err
	}
	for _, target := range s.MetricsURLs {
		if _, err := parseEndpoint(target); err != nil {
			return fmt.Errorf("metrics_urls: %w", err)
		}
	}
	t := s.Thresholds
	switch {
	case len(s.MetricsURLs) > 0 && len(s.MetricsURLs) != len(s.Endpoints):
		return fmt.Errorf("metrics_urls: %d for %d endpoints; one for each is needed", len(s.MetricsURLs), len(s.Endpoints))
	case len(s.Endpoints) == 0 && (s.CAFile != "" || s.CertFile != "" || s.KeyFile != "" || s.Username != ""):
		return errors.New("endpoints: needed when certificates or a user name are given")
	case (s.CertFile == "") != (s.KeyFile == ""):
		return errors.New("cert_file: cert_file and key_file go together")
	case (s.Username == "") != (s.PasswordFile == ""):
		return errors.New("username: username and password_file go together")
	}
	if err := t.Certificate.validate("certificate"); err != nil {
		return err
	}
	return validateLimits(
		namedLimits{"read_latency", t.ReadLatency.seconds(), false},
		namedLimits{"wal_fsync_p99", t.WALFsyncP99.seconds(), false},
		namedLimits{"backend_commit_p99", t.BackendCommitP99.seconds(), false},
		namedLimits{"peer_round_trip_p99", t.PeerRoundTripP99.seconds(), false},
		namedLimits{"database_quota", t.DatabaseQuota, true},
		namedLimits{"applied_lag", t.AppliedLag, false},
		namedLimits{"leader_changes", t.LeaderChanges, false},
	)
}

// parseEndpoint accepts http and https URLs that name host and port.
func parseEndpoint(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is not a URL: %w", clip(s, 100), err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "":
		return nil, fmt.Errorf("%q is not of the form https://host:port", clip(s, 100))
	}
	return u, nil
}

// etcdLayout is how an installer lays out the etcd member of a node.
type etcdLayout struct {
	installer string
	present   string // exists when the member is here
	files     tlsFiles
}

var etcdLayouts = []etcdLayout{
	{"kubeadm", etcdManifest, tlsFiles{
		CA:   "/etc/kubernetes/pki/etcd/ca.crt",
		Cert: "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
		Key:  "/etc/kubernetes/pki/etcd/healthcheck-client.key",
	}},
	// k3s lays out the certificates also when it keeps its state in SQLite;
	// only the data directory tells that etcd is used.
	{"k3s", "/var/lib/rancher/k3s/server/db/etcd", rancherFiles("k3s")},
	{"RKE2", "/var/lib/rancher/rke2/server/db/etcd", rancherFiles("rke2")},
}

func rancherFiles(name string) tlsFiles {
	dir := "/var/lib/rancher/" + name + "/server/tls/etcd/"
	return tlsFiles{CA: dir + "server-ca.crt", Cert: dir + "client.crt", Key: dir + "client.key"}
}

// localEtcd is where each of the layouts has its member listen.
const localEtcd = "https://127.0.0.1:2379"

// detectEtcd finds the member of this node by its files below root.
func detectEtcd(root string) (tlsFiles, error) {
	var looked []string
	for _, l := range etcdLayouts {
		// A path that may not be looked at is taken as there: the verdict
		// will say which file could not be read.
		if _, err := os.Stat(filepath.Join(root, l.present)); err == nil || errors.Is(err, fs.ErrPermission) {
			return tlsFiles{
				CA:   filepath.Join(root, l.files.CA),
				Cert: filepath.Join(root, l.files.Cert),
				Key:  filepath.Join(root, l.files.Key),
			}, nil
		}
		looked = append(looked, l.present+" ("+l.installer+")")
	}
	return tlsFiles{}, fmt.Errorf("etcd is %w: none of %s exists, and no endpoints are configured", ErrAbsent, strings.Join(looked, ", "))
}

// validateEndpoints names the first endpoint that cannot be asked, or that is
// listed twice.
func validateEndpoints(endpoints []string) error {
	hosts := make(map[string]bool)
	for _, endpoint := range endpoints {
		u, err := parseEndpoint(endpoint)
		if err != nil {
			return fmt.Errorf("endpoints: %w", err)
		}
		if hosts[u.Host] {
			return fmt.Errorf("endpoints: %s stands there twice", u.Host)
		}
		hosts[u.Host] = true
	}
	return nil
}
