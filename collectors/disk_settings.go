package collectors

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// diskSettings is the block "disk" of the configuration file.
type diskSettings struct {
	Timing `yaml:",inline"`

	// Paths are directories of the node; of each file system one is probed,
	// by writing a small file into the first of Paths that lies on it. Empty
	// means all that matter and exist: written to are the agent's own
	// directory and the etcd data directories of kubeadm (as its manifest
	// says), k3s and RKE2; only looked at are those of containerd, Docker,
	// CRI-O, k3s, RKE2 and the kubelet, /var/log and /.
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
	// TimeToFull at the pace of the last hour, reached from above; seen no
	// further ahead than four times as far as back. Four hours are what
	// node_exporter's mixin wakes people for (NodeFilesystemSpaceFillingUp);
	// as there, nothing is said while more than 40 % are left, nothing
	// critical while more than 20 % are.
	TimeToFull DurationLimits `yaml:"time_to_full"`
	// Await is the mean time of a device's requests since the last run, in
	// the queue and at work. The limits are those of etcd's mixin for an
	// fsync (etcdHighFsyncDurations), which waits among them.
	Await DurationLimits `yaml:"await"`
	// Stuck: a device has requests and completes none. After 30 s the kernel
	// itself gives a SCSI or NVMe command up and resets the device (SCSI
	// timeout, nvme_core.io_timeout).
	Stuck DurationLimits `yaml:"stuck"`
	// IOErrors that a SCSI or SATA device has answered within ten minutes.
	// smartd and its like cause a few each time they ask.
	IOErrors Limits `yaml:"io_errors"`
}

func defaultDiskSettings() *diskSettings {
	return &diskSettings{
		Timing: Timing{Interval: 10 * time.Second, Timeout: 8 * time.Second, FailureThreshold: 2, SuccessThreshold: 2},
		Thresholds: diskThresholds{
			Fsync:  DurationLimits{Warning: 100 * time.Millisecond, Critical: time.Second},
			Usage:  Limits{Warning: 0.8, Critical: 0.95},
			Inodes: Limits{Warning: 0.8, Critical: 0.95},

			TimeToFull: DurationLimits{Warning: 4 * time.Hour, Critical: time.Hour},
			Await:      DurationLimits{Warning: 500 * time.Millisecond, Critical: time.Second},
			Stuck:      DurationLimits{Warning: 10 * time.Second, Critical: 30 * time.Second},
			IOErrors:   Limits{Warning: 10},
		},
	}
}

// Validate names the first impossible value by its key.
func (s *diskSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	if len(s.Paths) > maxPlaces {
		return fmt.Errorf("paths: %d of them, at most %d are looked at", len(s.Paths), maxPlaces)
	}
	for _, path := range s.Paths {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("paths: %q is not an absolute path", clip(path, 100))
		}
	}
	t := s.Thresholds
	if t.TimeToFull.Warning > 0 && t.TimeToFull.Critical > t.TimeToFull.Warning {
		return errors.New("thresholds: time_to_full: critical is above warning, but it is reached from above")
	}
	return validateLimits(
		namedLimits{"fsync", t.Fsync.seconds(), false},
		namedLimits{"usage", t.Usage, true},
		namedLimits{"inodes", t.Inodes, true},
		namedLimits{"time_to_full", Limits{Warning: t.TimeToFull.seconds().Critical, Critical: t.TimeToFull.seconds().Warning}, false},
		namedLimits{"await", t.Await.seconds(), false},
		namedLimits{"stuck", t.Stuck.seconds(), false},
		namedLimits{"io_errors", t.IOErrors, false},
	)
}
