package collectors

import (
	"errors"
	"fmt"
	"path"
	"time"
)

// systemSettings is the block "system" of the configuration file.
type systemSettings struct {
	Timing `yaml:",inline"`

	// Kubernetes tells whether the node is held to what Kubernetes needs:
	// "auto" when a kubelet, k3s or RKE2 is found on it, "always" or "never".
	Kubernetes string `yaml:"kubernetes"`
	// IPv6 tells that pods have IPv6 addresses, which needs IPv6 forwarding.
	IPv6 bool `yaml:"ipv6"`
	// Features are those the kernel must have: overlay, nf_conntrack.
	Features []string `yaml:"features"`
	// IgnoreUnits may be failed. Shell patterns, as all unit names here.
	IgnoreUnits []string `yaml:"ignore_units"`
	// CriticalUnits are critical when failed; all others are a warning.
	CriticalUnits []string `yaml:"critical_units"`
	// OOMWindow is how long an OOM kill is shown.
	OOMWindow time.Duration `yaml:"oom_window"`

	Thresholds systemThresholds `yaml:"thresholds"`
}

// systemThresholds are held against what one run sees.
type systemThresholds struct {
	// MemoryPressure is the share of the last minute in which all tasks
	// waited for memory. 15 % is the trigger in the kernel's own example
	// (accounting/psi), 60 % where systemd-oomd begins to kill
	// (DefaultMemoryPressureLimit).
	MemoryPressure Limits `yaml:"memory_pressure"`
	// IOPressure is the same for disks. No figure is published; half of all
	// time is hard to explain by work alone. Latency of a single disk is the
	// disk check's.
	IOPressure Limits `yaml:"io_pressure"`
	// CPUPressure is the share in which some task waited for a processor. A
	// busy node is not a broken one: off but for the extreme.
	CPUPressure Limits `yaml:"cpu_pressure"`
	// OOMKills within OOMWindow.
	OOMKills Limits `yaml:"oom_kills"`
	// OpenFiles and Threads are ratios of their limits. The kubelet counts
	// threads the same way for its PIDPressure.
	OpenFiles Limits `yaml:"open_files"`
	Threads   Limits `yaml:"threads"`
	// InotifyInstances and InotifyWatches are the least fs.inotify may allow
	// a user: the kernel's own defaults (128, and 8192 before Linux 5.11).
	InotifyInstances float64 `yaml:"inotify_instances"`
	InotifyWatches   float64 `yaml:"inotify_watches"`
}

func defaultSystemSettings() *systemSettings {
	return &systemSettings{
		Timing:     Timing{Interval: 30 * time.Second, Timeout: 5 * time.Second, FailureThreshold: 2, SuccessThreshold: 2},
		Kubernetes: "auto",
		Features:   []string{"overlay", "nf_conntrack"},
		CriticalUnits: []string{
			"kubelet.service", "containerd.service", "crio.service", "docker.service", "etcd.service",
			"k3s.service", "k3s-agent.service", "rke2-server.service", "rke2-agent.service",
		},
		OOMWindow: 10 * time.Minute,
		Thresholds: systemThresholds{
			MemoryPressure:   Limits{Warning: 0.15, Critical: 0.6},
			IOPressure:       Limits{Warning: 0.5},
			CPUPressure:      Limits{Warning: 0.95},
			OOMKills:         Limits{Warning: 1},
			OpenFiles:        Limits{Warning: 0.8, Critical: 0.95},
			Threads:          Limits{Warning: 0.8, Critical: 0.95},
			InotifyInstances: 128,
			InotifyWatches:   8192,
		},
	}
}

// Validate names the first impossible value by its key.
func (s *systemSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	switch s.Kubernetes {
	case "auto", "always", "never":
	default:
		return fmt.Errorf("kubernetes: %q is none of auto, always, never", clip(s.Kubernetes, 60))
	}
	for _, feature := range s.Features {
		if kernelFeatures[feature] == nil {
			return fmt.Errorf("features: %q is none of overlay, nf_conntrack, br_netfilter", clip(feature, 60))
		}
	}
	for key, patterns := range map[string][]string{"ignore_units": s.IgnoreUnits, "critical_units": s.CriticalUnits} {
		for _, pattern := range patterns {
			if _, err := path.Match(pattern, ""); err != nil {
				return fmt.Errorf("%s: %q is not a pattern", key, clip(pattern, 60))
			}
		}
	}
	t := s.Thresholds
	switch {
	case s.OOMWindow < s.Interval || s.OOMWindow > 24*time.Hour:
		return fmt.Errorf("oom_window: %v is not between the interval %v and 24h", s.OOMWindow, s.Interval)
	case t.InotifyInstances < 0 || t.InotifyWatches < 0:
		return errors.New("thresholds: inotify_instances and inotify_watches cannot be below zero")
	}
	return validateLimits(
		namedLimits{"memory_pressure", t.MemoryPressure, true},
		namedLimits{"io_pressure", t.IOPressure, true},
		namedLimits{"cpu_pressure", t.CPUPressure, true},
		namedLimits{"oom_kills", t.OOMKills, false},
		namedLimits{"open_files", t.OpenFiles, true},
		namedLimits{"threads", t.Threads, true},
	)
}

func (s *systemSettings) isKubernetes(paths Paths) bool {
	if s.Kubernetes != "auto" {
		return s.Kubernetes == "always"
	}
	return onKubernetes(paths)
}
