package collectors

import (
	"fmt"
	"path/filepath"
	"time"
)

// diskSettings is the block "disk" of the configuration file.
type diskSettings struct {
	Timing `yaml:",inline"`

	// Paths are directories; of each file system one is probed, by writing a
	// small file into the first of Paths that lies on it. Empty means the
	// agent's own directory and the etcd data directories of kubeadm, k3s
	// and RKE2 that exist.
	Paths []string `yaml:"paths"`

	Thresholds diskThresholds `yaml:"thresholds"`
}

// diskThresholds are held against what one run sees.
type diskThresholds struct {
	// Fsync of 4 KiB. etcd asks for less than 10 ms (Hardware
	// recommendations). 0.1 s is its default heartbeat interval: a leader
	// whose disk takes longer falls behind its own heartbeats (Tuning). One
	// second is its default election timeout, and from there on etcd itself
	// logs "slow fdatasync".
	Fsync DurationLimits `yaml:"fsync"`
	// Usage is the ratio of the bytes an ordinary user may use. The kubelet
	// evicts pods from 90 % on by default (nodefs.available<10%).
	Usage Limits `yaml:"usage"`
	// Inodes is the ratio in use; the kubelet's default is 95 %
	// (nodefs.inodesFree<5%).
	Inodes Limits `yaml:"inodes"`
}

// etcdDataDirs are where kubeadm, k3s and RKE2 keep etcd's data.
var etcdDataDirs = []string{
	"/var/lib/etcd",
	"/var/lib/rancher/k3s/server/db/etcd",
	"/var/lib/rancher/rke2/server/db/etcd",
}

func defaultDiskSettings() *diskSettings {
	return &diskSettings{
		Timing: Timing{Interval: 10 * time.Second, Timeout: 8 * time.Second, FailureThreshold: 2, SuccessThreshold: 2},
		Thresholds: diskThresholds{
			Fsync:  DurationLimits{Warning: 100 * time.Millisecond, Critical: time.Second},
			Usage:  Limits{Warning: 0.8, Critical: 0.95},
			Inodes: Limits{Warning: 0.8, Critical: 0.95},
		},
	}
}

// Validate names the first impossible value by its key.
func (s *diskSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	for _, path := range s.Paths {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("paths: %q is not an absolute path", clip(path, 100))
		}
	}
	return validateLimits(
		namedLimits{"fsync", s.Thresholds.Fsync.seconds(), false},
		namedLimits{"usage", s.Thresholds.Usage, true},
		namedLimits{"inodes", s.Thresholds.Inodes, true},
	)
}
