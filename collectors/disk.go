package collectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the disk check exports. Labels: device is the mount's source.
var (
	diskLabels = []string{"mountpoint", "device"}

	diskFsyncSeconds = Metric{
		Name: "grapevine_disk_fsync_duration_seconds", Type: health.Histogram, Labels: diskLabels,
		Help:    "Time to write 4 KiB to a new file and fsync it.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}
	diskFsyncLast = Metric{
		Name: "grapevine_disk_fsync_last_duration_seconds", Type: health.Gauge, Labels: diskLabels,
		Help: "Time the last write and fsync took; while one has not returned, the time since it began.",
	}
	diskFsyncSuccess = Metric{
		Name: "grapevine_disk_fsync_success", Type: health.Gauge, Labels: diskLabels,
		Help: "Whether the last write and fsync returned without an error.",
	}
	diskSize = Metric{
		Name: "grapevine_disk_size_bytes", Type: health.Gauge, Labels: diskLabels,
		Help: "Size of the file system.",
	}
	diskFree = Metric{
		Name: "grapevine_disk_free_bytes", Type: health.Gauge, Labels: diskLabels,
		Help: "Free space of the file system, with what is reserved for root.",
	}
	diskAvailable = Metric{
		Name: "grapevine_disk_available_bytes", Type: health.Gauge, Labels: diskLabels,
		Help: "Free space of the file system for ordinary users.",
	}
	diskInodes = Metric{
		Name: "grapevine_disk_inodes", Type: health.Gauge, Labels: diskLabels,
		Help: "Inodes of the file system; 0 where their number is not fixed.",
	}
	diskInodesFree = Metric{
		Name: "grapevine_disk_inodes_free", Type: health.Gauge, Labels: diskLabels,
		Help: "Free inodes of the file system.",
	}
	diskReadOnly = Metric{
		Name: "grapevine_disk_read_only", Type: health.Gauge, Labels: diskLabels,
		Help: "Whether the file system is mounted, or was turned, read-only.",
	}
)

func diskSpec() Spec {
	return Spec{
		Name:    "disk",
		Summary: "write latency, space, inodes and read-only state of the file systems etcd and the agent write to",
		Why:     "etcd confirms nothing before its log is on disk: a slow, full or read-only disk makes the API unstable, and then everything above it.",
		Remedy:  "Confirm with iostat -x 1 and dmesg on that node. Move etcd to a local SSD, end what else writes to the device, free space, or replace the disk.",
		Subject: "mount point",
		Metrics: []Metric{
			diskFsyncSeconds, diskFsyncLast, diskFsyncSuccess, diskSize, diskFree, diskAvailable, diskInodes, diskInodesFree, diskReadOnly,
		},
		Settings: func() Settings { return defaultDiskSettings() },
	}
}

// diskCheck probes one path of every file system.
type diskCheck struct {
	settings diskSettings
	logger   log.Logger
	probes   []*diskProbe
	optional map[string]bool // paths that may be missing
	latency  *prometheus.HistogramVec
}

// New takes the configured paths, or looks for those that matter.
func (s *diskSettings) New(env Env) (Collector, error) { return s.newWith(etcdDataDirs, env) }

// newWith is New with the places where etcd may keep its data.
func (s *diskSettings) newWith(dataDirs []string, env Env) (Collector, error) {
	c := &diskCheck{
		settings: *s, logger: log.With(env.Logger, "check", "disk"),
		optional: make(map[string]bool), latency: diskFsyncSeconds.Histogram(env.Registry),
	}
	paths := s.Paths
	if len(paths) == 0 {
		found := env.StoragePath != ""
		if found {
			paths = []string{env.StoragePath}
		}
		// Which of these exist is seen in each run: looking now could hang.
		for _, dir := range dataDirs {
			c.optional[dir] = true
			paths = append(paths, dir)
			if !found {
				_, err := os.Stat(dir)
				found = err == nil || !errors.Is(err, fs.ErrNotExist)
			}
		}
		if !found {
			return nil, fmt.Errorf("a disk to probe is %w: none of %s exists, and no paths are configured", ErrAbsent, strings.Join(dataDirs, ", "))
		}
	}
	for _, path := range paths {
		c.probes = append(c.probes, &diskProbe{path: path})
	}
	return c, nil
}

// Name is the check's name.
func (c *diskCheck) Name() string { return "disk" }

// Collect probes all file systems at once.
func (c *diskCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	looks := make([]*diskLook, len(c.probes))
	fresh := make([]bool, len(c.probes))
	for i, p := range c.probes {
		looks[i], fresh[i] = p.start()
	}
	c.choose(ctx, looks, fresh)
	mounts, err := procfs.GetMounts()
	if err != nil { // the verdicts then lack the device's name
		level.Warn(c.logger).Log("msg", "reading mountinfo", "err", err)
	}
	var judged parallel
	for i, p := range c.probes {
		if looks[i] == nil {
			continue
		}
		judged.run(func() {
			select {
			case <-looks[i].done:
			case <-ctx.Done():
			}
			c.judge(r, p, looks[i], mountOf(mounts, p.place()))
		})
	}
	judged.wait()
	return nil
}

// choose lets one path of each device write, the first in the order of the
// settings, and sets the looks of all others to nil. A path whose device does
// not come to be known takes at most half the time of the run; one that hangs
// since an earlier run takes none.
func (c *diskCheck) choose(ctx context.Context, looks []*diskLook, fresh []bool) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/2))
		defer cancel()
	}
	taken := make(map[uint64]bool)
	for i, l := range looks {
		if fresh[i] {
			select {
			case <-l.resolved:
			case <-ctx.Done():
			}
		}
		found, _, _ := l.now()
		first := found.device == 0 || !taken[found.device]
		taken[found.device] = true
		if fresh[i] {
			// Word also for one that is still in stat: when it wakes up, its
			// run is over.
			l.chosen <- first && found.device != 0
		}
		missing := errors.Is(found.err, fs.ErrNotExist) && c.optional[c.probes[i].path]
		if !first || missing {
			looks[i] = nil
		}
	}
}

// judge exports and judges what a look has found until now.
func (c *diskCheck) judge(r *Report, p *diskProbe, l *diskLook, m mount) {
	found, step, since := l.now()
	limits := c.settings.Thresholds
	a := &assessment{about: fmt.Sprintf("%v, which holds %s,", m, p.path)}
	if u := found.usage; u != nil {
		r.Sample(&diskSize, u.total, m.point, m.device)
		r.Sample(&diskFree, u.free, m.point, m.device)
		r.Sample(&diskAvailable, u.available, m.point, m.device)
		r.Sample(&diskInodes, u.inodes, m.point, m.device)
		r.Sample(&diskInodesFree, u.inodesFree, m.point, m.device)
		if used := u.total - u.free; used+u.available > 0 {
			ratio := used / (used + u.available)
			a.hold(ratio, limits.Usage, "ratio", "is %s full, %s are left", percent(ratio), size(u.available))
		}
		if u.inodes > 0 {
			ratio := 1 - u.inodesFree/u.inodes
			a.hold(ratio, limits.Inodes, "ratio", "has %s of its inodes in use", percent(ratio))
		}
	}
	readOnly := m.readOnly || found.usage != nil && found.usage.readOnly || errors.Is(found.err, syscall.EROFS)
	r.Sample(&diskReadOnly, boolean(readOnly), m.point, m.device)

	took := found.fsync
	select {
	case <-l.done:
		c.judgeEnd(a, found, readOnly)
		if found.err == nil && !found.fsynced { // it came back when its run was over
			took = since.Sub(l.begun)
			a.add(health.Critical, "answers only after %s", seconds(took.Seconds()))
		}
	default:
		took = time.Since(since)
		a.findings = append(a.findings, finding{
			status:   health.Critical,
			text:     fmt.Sprintf("does not answer: %s has not returned for %.0f s", step, took.Seconds()),
			evidence: health.Evidence{Value: took.Seconds(), Threshold: limits.Fsync.Critical.Seconds(), Unit: "seconds"},
		})
	}
	if found.fsynced {
		seconds := found.fsync.Seconds()
		c.latency.WithLabelValues(m.point, m.device).Observe(seconds)
		_, limit := limits.Fsync.seconds().judge(0)
		a.measured = health.Evidence{Value: seconds, Threshold: limit, Unit: "seconds"}
	}
	r.Sample(&diskFsyncLast, took.Seconds(), m.point, m.device)
	r.Sample(&diskFsyncSuccess, boolean(found.fsynced && found.err == nil), m.point, m.device)
	a.verdict(r, m.point)
}

// judgeEnd judges a look that has ended.
func (c *diskCheck) judgeEnd(a *assessment, found diskFound, readOnly bool) {
	switch {
	case found.err == nil && found.fsynced:
		took := found.fsync.Seconds()
		a.hold(took, c.settings.Thresholds.Fsync.seconds(), "seconds", "needs %s to write and fsync 4 KiB; etcd asks for less than 0.01 s", seconds(took))
	case readOnly:
		a.add(health.Critical, "is read-only")
	case errors.Is(found.err, fs.ErrPermission):
		a.add(health.Unknown, "may not be probed by this user: %s: %s", found.failed, cause(found.err, 0))
	case found.err != nil:
		a.add(health.Critical, "fails: %s: %s", found.failed, cause(found.err, 0))
	}
}
