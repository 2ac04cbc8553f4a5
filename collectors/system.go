package collectors

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/procfs"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the system check exports.
var (
	systemSysctl = Metric{
		Name: "grapevine_system_sysctl", Type: health.Gauge, Labels: []string{"name"},
		Help: "Value of a kernel setting that Kubernetes depends on.",
	}
	systemModule = Metric{
		Name: "grapevine_system_kernel_feature", Type: health.Gauge, Labels: []string{"feature"},
		Help: "Whether the kernel has the feature, built in or as a loaded module.",
	}
	systemJudged = Metric{
		Name: "grapevine_system_kubernetes_node", Type: health.Gauge,
		Help: "Whether the node is held to what Kubernetes needs.",
	}
	systemOpenFiles = Metric{
		Name: "grapevine_system_open_files", Type: health.Gauge,
		Help: "Files that are open on the node.",
	}
	systemOpenFilesLimit = Metric{
		Name: "grapevine_system_open_files_limit", Type: health.Gauge,
		Help: "Files that may be open on the node (fs.file-max).",
	}
	systemThreads = Metric{
		Name: "grapevine_system_threads", Type: health.Gauge,
		Help: "Threads on the node; each takes a process id.",
	}
	systemThreadsLimit = Metric{
		Name: "grapevine_system_threads_limit", Type: health.Gauge,
		Help: "Threads the node can have: the smaller of kernel.pid_max and kernel.threads-max.",
	}
	systemSwap = Metric{
		Name: "grapevine_system_swap_bytes", Type: health.Gauge,
		Help: "Size of all swap that is switched on.",
	}
	systemInotify = Metric{
		Name: "grapevine_system_inotify_available", Type: health.Gauge,
		Help: "Whether the agent's user could get one more inotify instance with a watch.",
	}
	systemCgroup = Metric{
		Name: "grapevine_system_cgroup_info", Type: health.Gauge, Labels: []string{"layout"},
		Help: "How control groups are laid out: v1, hybrid or v2; always 1.",
	}
	systemPressureUp = Metric{
		Name: "grapevine_system_pressure_measured", Type: health.Gauge, Labels: []string{"resource"},
		Help: "Whether the kernel tells how long tasks wait for the resource.",
	}
	systemPressure = Metric{
		Name: "grapevine_system_pressure_ratio", Type: health.Gauge, Labels: []string{"resource", "share"},
		Help: "Share of the last 60 s in which some tasks, or all (full), waited for the resource.",
	}
	systemStalled = Metric{
		Name: "grapevine_system_pressure_stalled_seconds_total", Type: health.Counter, Labels: []string{"resource", "share"},
		Help: "Time in which some tasks, or all (full), waited for the resource.",
	}
	systemOOM = Metric{
		Name: "grapevine_system_oom_kills_total", Type: health.Counter,
		Help: "Processes the kernel killed for want of memory, of the node or of a control group.",
	}
	systemdUp = Metric{
		Name: "grapevine_system_systemd_up", Type: health.Gauge,
		Help: "Whether systemd runs on the node and answered.",
	}
	systemdFailed = Metric{
		Name: "grapevine_system_failed_units", Type: health.Gauge,
		Help: "Units of systemd that have failed, without those that are ignored.",
	}
	systemShutdown = Metric{
		Name: "grapevine_system_shutdown_scheduled", Type: health.Gauge,
		Help: "Whether a shutdown or reboot of the node is scheduled or under way.",
	}
)

func systemSpec() Spec {
	return Spec{
		Name:    "system",
		Summary: "kernel settings and features Kubernetes needs, limits that fill up, pressure, OOM kills, swap, failed units",
		Why:     "Pods that cannot be reached, watches that cannot be set and processes that cannot be started often come from the node's own settings and limits, and show far from their cause.",
		Remedy:  "The reason names the setting or the resource. Confirm with sysctl, cat /proc/pressure/*, dmesg or systemctl --failed on that node; set sysctls in /etc/sysctl.d and modules in /etc/modules-load.d, so that they survive a reboot.",
		Subject: "what is measured: \"ip_forward\", \"memory pressure\", \"failed units\"",
		Metrics: []Metric{
			systemSysctl, systemModule, systemJudged, systemOpenFiles, systemOpenFilesLimit, systemThreads, systemThreadsLimit,
			systemSwap, systemInotify, systemCgroup, systemPressureUp, systemPressure, systemStalled, systemOOM,
			systemdUp, systemdFailed, systemShutdown,
		},
		Settings: func() Settings { return defaultSystemSettings() },
	}
}

// systemCheck reads the kernel's own files. Its runs do not overlap.
type systemCheck struct {
	settings systemSettings
	paths    Paths
	proc     procfs.FS
	oom      oomHistory
}

// New opens the procfs of the node.
func (s *systemSettings) New(env Env) (Collector, error) {
	proc, err := procfs.NewFS(env.Paths.Proc)
	if err != nil {
		return nil, fmt.Errorf("the kernel's procfs at %s: %w", env.Paths.Proc, err)
	}
	return &systemCheck{settings: *s, paths: env.Paths, proc: proc}, nil
}

// Name is the check's name.
func (c *systemCheck) Name() string { return "system" }

// Collect looks at one thing after the other: all but systemd are files that
// the kernel makes up as they are read.
func (c *systemCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	judged := c.settings.isKubernetes(c.paths)
	r.Sample(&systemJudged, boolean(judged))
	c.kernel(r, judged)
	c.inotify(r, judged)
	c.swap(r, judged)
	c.cgroup(r)
	c.openFiles(r)
	c.threads(r)
	c.pressure(r)
	c.oomKills(r, time.Now())
	c.shutdown(r, time.Now())
	c.units(ctx, r)
	return nil
}

// unreadable is the verdict on what could not be read.
func unreadable(r *Report, subject string, err error) {
	r.Verdict(subject, health.Unknown, clip(subject+" cannot be read: "+err.Error(), maxReason), health.Evidence{})
}
