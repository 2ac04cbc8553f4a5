package collectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
)

func diskSpec() Spec {
	return Spec{
		Name:     "disk",
		Summary:  "the file systems of etcd, containers, the kubelet and the node, and the devices below: write latency, space, read-only state, errors",
		Why:      "etcd confirms nothing before its log is on disk: a slow, full or read-only disk makes the API unstable, and then everything above it. A full disk makes the kubelet evict pods.",
		Remedy:   "Confirm with iostat -x 1, df and dmesg on that node. Move etcd to a local SSD, end what else writes to the device, free space, or replace the disk. After errors of a file system run fsck before you mount it again.",
		Subject:  "mount point",
		Metrics:  diskMetrics,
		Settings: func() Settings { return defaultDiskSettings() },
	}
}

// diskCheck probes one path of every file system, and reads what the kernel
// counts of the devices below.
type diskCheck struct {
	settings diskSettings
	logger   log.Logger
	probes   []*diskProbe
	latency  *prometheus.HistogramVec
	devices  *blockDevices
	// histories of the file systems seen, by mount point; one run at a time
	// touches them. There are no more of them than probes.
	histories map[string]*diskHistory
}

// diskHistory is what is remembered of a file system from run to run.
type diskHistory struct {
	filling  diskFilling
	writable bool // it was, once
	errors   rising
}

// New takes the configured paths, or those that matter. Which of these exist
// is seen in each run: looking now could hang.
func (s *diskSettings) New(env Env) (Collector, error) {
	if _, err := os.Lstat(env.Paths.Root); err != nil {
		return nil, fmt.Errorf("the node's root file system is %w: %s: %w", ErrAbsent, env.Paths.Root, err)
	}
	c := &diskCheck{
		settings: *s, logger: log.With(env.Logger, "check", "disk"),
		latency: diskFsyncSeconds.Histogram(env.Registry), devices: newBlockDevices(env.Paths),
		histories: make(map[string]*diskHistory),
	}
	for _, place := range s.places(env) {
		c.probes = append(c.probes, &diskProbe{diskPlace: place})
	}
	return c, nil
}

// Name is the check's name.
func (c *diskCheck) Name() string { return "disk" }

// Collect looks at all file systems at once.
func (c *diskCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	systems := c.fileSystems(ctx)
	for _, s := range systems {
		select {
		case <-s.members[0].look.done:
		case <-ctx.Done():
		}
	}
	now := r.now()
	devices := c.devices.look(now, systems)
	devices.export(r)
	for _, s := range systems {
		c.judge(r, s, devices, now)
	}
	return nil
}

// fileSystem is what one verdict is about: the places that lie on it.
type fileSystem struct {
	mount
	members []member // the first is the one that is probed
}

// member is a place on a file system, and how it was looked at.
type member struct {
	*diskProbe
	look *diskLook
}

// fileSystems starts a look at every place, and puts those together that lie
// on one file system. The first of each goes on to the end.
func (c *diskCheck) fileSystems(ctx context.Context) []*fileSystem {
	looks := make([]*diskLook, len(c.probes))
	fresh := make([]bool, len(c.probes))
	for i, p := range c.probes {
		looks[i], fresh[i] = p.start()
	}
	// A place whose device does not come to be known takes at most half the
	// time of the run; one that hangs since an earlier run takes none.
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/2))
		defer cancel()
	}
	tables := c.mountTables()
	var systems []*fileSystem
	for i, p := range c.probes {
		if fresh[i] {
			select {
			case <-looks[i].resolved:
			case <-ctx.Done():
			}
		}
		found, _, _ := looks[i].now()
		missing := errors.Is(found.err, fs.ErrNotExist) && p.optional
		m := mountOf(tables[p.paths], p.resolvedPath())
		own := p.paths != c.devices.paths
		if own { // where a container's own mounts are, nobody on the node knows
			m.point = p.path
		}
		at := slices.IndexFunc(systems, func(s *fileSystem) bool {
			return s.point == m.point || found.device != 0 && slices.ContainsFunc(s.members, func(o member) bool { return o.knownDevice() == found.device })
		})
		if fresh[i] {
			// Word also for one that is still in stat: when it wakes up, its
			// run is over.
			looks[i].chosen <- at < 0 && !missing && found.device != 0
		}
		switch {
		case missing:
		case at < 0:
			systems = append(systems, &fileSystem{mount: m, members: []member{{p, looks[i]}}})
		default:
			s := systems[at]
			if !own && s.members[0].paths != p.paths {
				s.mount = m
			}
			s.members = append(s.members, member{p, looks[i]})
		}
	}
	return systems
}

// mountTables reads the mount tables of all places.
func (c *diskCheck) mountTables() map[Paths][]*procfs.MountInfo {
	tables := make(map[Paths][]*procfs.MountInfo)
	for _, p := range c.probes {
		if _, had := tables[p.paths]; had {
			continue
		}
		mounts, err := p.paths.mounts()
		if err != nil { // the verdicts then lack the device's name
			level.Warn(c.logger).Log("msg", "reading mountinfo", "err", err)
		}
		tables[p.paths] = mounts
	}
	return tables
}
