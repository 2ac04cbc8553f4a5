package collectors

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/health"
)

// diskTimeout is the check's default timeout.
const diskTimeout = 8 * time.Second

// lenient are thresholds that a busy or full test machine does not reach.
func lenient(paths ...string) *diskSettings {
	s := defaultDiskSettings()
	s.Paths = paths
	s.Thresholds = diskThresholds{Fsync: DurationLimits{Critical: time.Hour}, Usage: Limits{Critical: 1}, Inodes: Limits{Critical: 1}}
	return s
}

func mountAt(t *testing.T, path string) mount {
	t.Helper()
	mounts, err := procfs.GetMounts()
	must(t, err)
	return mountOf(mounts, path)
}

func TestDiskProbesEachFileSystemOnce(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(a, link))
	old := filepath.Join(a, ".grapevine-fsync-old")
	young := filepath.Join(a, ".grapevine-fsync-young")
	for _, leftover := range []string{old, young} {
		must(t, os.WriteFile(leftover, nil, 0o600))
	}
	must(t, os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)))
	check := newCheck(t, lenient(a, b, link))
	m := mountAt(t, a)
	for range 2 {
		s := run(t, check, diskTimeout)
		s.expect(t, m.point, health.OK)
		if len(s.results) != 1 {
			t.Errorf("verdicts %+v", s.results)
		}
		for _, metric := range []*Metric{&diskFsyncLast, &diskFsyncSuccess, &diskSize, &diskFree, &diskAvailable} {
			if s.value(t, metric, m.point, m.device) <= 0 {
				t.Errorf("%s", metric.Name)
			}
		}
		if s.value(t, &diskReadOnly, m.point, m.device) != 0 {
			t.Error("read-only")
		}
	}
	entries, err := os.ReadDir(a)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != filepath.Base(young) {
		t.Errorf("left behind: %v", entries)
	}
}

func TestDiskThresholds(t *testing.T) {
	dir := t.TempDir()
	s := lenient(dir)
	s.Thresholds = diskThresholds{
		Fsync: DurationLimits{Warning: time.Nanosecond},
		Usage: Limits{Warning: 1e-9}, Inodes: Limits{Warning: 1e-9},
	}
	m := mountAt(t, dir)
	run(t, newCheck(t, s), diskTimeout).expect(t, m.point, health.Warning, m.device, m.fsType, "to write and fsync 4 KiB", "full")
}

func TestDiskPathsThatCannotBeProbed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	m := mountAt(t, dir)
	for path, words := range map[string]string{
		filepath.Join(dir, "missing"): "no such file or directory",
		file:                          "not a directory",
	} {
		run(t, newCheck(t, lenient(path)), diskTimeout).expect(t, m.point, health.Critical, words)
	}
}

// TestDiskDetection looks at a node whose root is elsewhere, as from a
// container: what lies on one file system is one subject.
func TestDiskDetection(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const etcd, kubelet, docker = "var/lib/rancher/k3s/server/db/etcd", "var/lib/kubelet", "data/docker"
	long := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, dir := range []string{etcd, kubelet, docker} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o700))
		must(t, os.Chtimes(filepath.Join(root, dir), long, long))
	}
	// Taken from the node's root, not from ours.
	must(t, os.Symlink("/data/docker", filepath.Join(root, "var/lib/docker")))
	env := envAt(root)
	env.StoragePath = t.TempDir()
	check, err := defaultDiskSettings().New(env)
	must(t, err)
	c := check.(*diskCheck)
	c.settings.Thresholds = lenient().Thresholds
	got := run(t, check, diskTimeout)
	m := mountAt(t, "/")
	if len(got.results) != 1 || got.results[m.point].Status != health.OK {
		t.Fatalf("%+v", got.results)
	}
	for dir, wrote := range map[string]bool{etcd: true, kubelet: false, docker: false} {
		info, err := os.Stat(filepath.Join(root, dir))
		must(t, err)
		if info.ModTime().Equal(long) == wrote {
			t.Errorf("%s: written to at %v", dir, info.ModTime())
		}
	}
	systems := c.fileSystems(t.Context())
	<-systems[0].members[0].look.done
	want := "which holds etcd's data, the agent's state, containers and images, k3s's data, containers and images, the kubelet's data and pod volumes,"
	if about := systems[0].about(); !strings.HasSuffix(about, want) || !strings.HasPrefix(about, m.String()) {
		t.Errorf("about %q", about)
	}
	env.Paths.Root = filepath.Join(root, "absent")
	if _, err := defaultDiskSettings().New(env); !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), env.Paths.Root) {
		t.Errorf("without a root: %v", err)
	}
}

// TestDiskEtcdElsewhere reads where kubeadm was told to keep etcd's data.
func TestDiskEtcdElsewhere(t *testing.T) {
	t.Parallel()
	tree := newSysTree(t)
	for command, want := range map[string]string{
		`["etcd", "--data-dir=/data/etcd/", "--name=n1"]`: "/data/etcd",
		`["etcd", "--data-dir=/var/lib/etcd"]`:            "/var/lib/etcd",
		`["etcd", "--data-dir=relative"]`:                 "/var/lib/etcd",
		`["etcd"]`:                                        "/var/lib/etcd",
		`"`:                                               "/var/lib/etcd",
	} {
		tree.write("root"+etcdManifest, "spec: {containers: [{command: "+command+"}]}")
		env := testEnv()
		env.Paths = tree.paths()
		if first := defaultDiskSettings().places(env)[0]; first.path != want || first.use != probed || !first.optional {
			t.Errorf("%q: %+v", command, first)
		}
	}
}

// TestDiskThatDoesNotReturn holds a look in the place of a kernel that does:
// by a path of its own it opens a FIFO's reader, which never comes.
func TestDiskThatDoesNotReturn(t *testing.T) {
	hung, well := t.TempDir(), "/dev/shm"
	if _, err := os.Stat(well); err != nil {
		well = t.TempDir()
	}
	check := newCheck(t, lenient(hung, well)).(*diskCheck)
	l := &diskLook{
		begun: time.Now().Add(-13 * time.Second), resolved: make(chan struct{}), chosen: make(chan bool, 1), done: make(chan struct{}),
		step: "fsync", since: time.Now().Add(-12 * time.Second),
	}
	probe := check.probes[0]
	probe.running = l
	m := mountAt(t, hung)
	for range 2 {
		s := run(t, check, time.Second)
		s.expect(t, m.point, health.Critical, m.device, hung, "fsync has not returned for 1")
		if s.results[m.point].Evidence.Value < 12 || s.value(t, &diskFsyncLast, m.point, m.device) < 12 || s.value(t, &diskFsyncSuccess, m.point, m.device) != 0 {
			t.Errorf("evidence %+v", s.results[m.point])
		}
		if other := mountAt(t, well); other.point != m.point {
			s.expect(t, other.point, health.OK)
		}
		if probe.running != l {
			t.Fatal("a second look was started")
		}
	}
	l.note(func() { l.found.fsynced, l.found.fsync = true, 13*time.Second })
	probe.running = nil
	close(l.done)
	run(t, check, diskTimeout).expect(t, m.point, health.OK)
}

// needMounts skips without the right to mount.
func needMounts(t *testing.T, mount func() error) {
	t.Helper()
	err := mount()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("mounting: %v", err)
	}
	t.Skipf("needs the right to mount: %v", err)
}

func unmount(t *testing.T, dir string) {
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Errorf("unmounting: %v", err)
	}
}

func TestDiskReadOnly(t *testing.T) {
	source, dir := t.TempDir(), t.TempDir()
	needMounts(t, func() error { return unix.Mount(source, dir, "", unix.MS_BIND, "") })
	defer unmount(t, dir)
	check := newCheck(t, lenient(dir))
	run(t, check, diskTimeout).expect(t, dir, health.OK)
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	s := run(t, check, diskTimeout)
	s.expect(t, dir, health.Critical, dir+" (device ", "is read-only")
	m := mountAt(t, dir)
	if s.value(t, &diskReadOnly, dir, m.device) != 1 || s.value(t, &diskFsyncSuccess, dir, m.device) != 0 {
		t.Errorf("samples %+v", s.samples)
	}
}

// TestDiskReadOnlyForTheAgent is a container that sees the node's files but
// may not write to them: that says nothing of the node's disk.
func TestDiskReadOnlyForTheAgent(t *testing.T) {
	t.Parallel()
	tree := newSysTree(t)
	tree.mountTable("0:31 / overlay overlay", "8:1 /var/lib/etcd ext4 /dev/sda1")
	root := tree.paths().Root
	needMounts(t, func() error { return unix.Mount(root, root, "", unix.MS_BIND, "") })
	defer unmount(t, root)
	check := tree.check("/var/lib/etcd")
	check(0).expect(t, "/var/lib/etcd", health.OK)
	must(t, unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	got := check(time.Minute)
	got.expect(t, "/var/lib/etcd", health.OK)
	if got.value(t, &diskReadOnly, "/var/lib/etcd", "/dev/sda1") != 0 {
		t.Error("it is shown as read-only")
	}
	env := testEnv()
	env.Paths = tree.paths()
	probing, err := lenient("/var/lib/etcd").New(env)
	must(t, err)
	run(t, probing, diskTimeout).expect(t, "/var/lib/etcd", health.Unknown, "device /dev/sda1", "the agent sees it read-only, give it a mount it can write to")
	tree.write("proc/1/mountinfo", "20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,emergency_ro\n")
	run(t, probing, diskTimeout).expect(t, "/", health.Critical, "was turned read-only after an error")
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	needMounts(t, func() error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,nr_inodes=20") })
	defer unmount(t, dir)
	s := defaultDiskSettings()
	s.Paths = []string{dir}
	check := newCheck(t, s)
	run(t, check, diskTimeout).expect(t, dir, health.OK)
	if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling: %v", err)
	}
	got := run(t, check, diskTimeout)
	got.expect(t, dir, health.Critical, dir+" (device tmpfs, tmpfs)", "write: no space left on device", "100 % full")
	must(t, os.Remove(filepath.Join(dir, "fill")))
	for i := range 18 {
		_ = os.WriteFile(filepath.Join(dir, strings.Repeat("i", i+1)), nil, 0o600)
	}
	run(t, check, diskTimeout).expect(t, dir, health.Critical, "of its inodes in use")
}

func TestMountOf(t *testing.T) {
	ro, rw := map[string]string{"ro": ""}, map[string]string{"rw": ""}
	mounts := []*procfs.MountInfo{
		{MountPoint: "/", Source: "/dev/sda1", FSType: "ext4", MajorMinorVer: "8:1"},
		{MountPoint: "/old", Source: "/dev/sdd1", FSType: "ext4", Options: rw, SuperOptions: ro},
		{MountPoint: "/new", Source: "/dev/sde1", FSType: "ext4", Options: rw, SuperOptions: map[string]string{"rw": "", "emergency_ro": ""}},
		{MountPoint: "/made-so", Source: "/dev/sdf1", FSType: "ext4", Options: ro, SuperOptions: ro},
		{MountPoint: "/image", Source: "/dev/loop0", FSType: "squashfs", Options: rw, SuperOptions: ro},
		{MountPoint: "/var/lib", Source: "/dev/sdb1", FSType: "xfs", Options: map[string]string{"ro": ""}},
		{MountPoint: "/var/lib", Source: "/dev/sdc1", FSType: "xfs"},
		{MountPoint: `/mnt/with\040space`, Source: "tmpfs", FSType: "tmpfs", SuperOptions: map[string]string{"ro": ""}},
	}
	for path, want := range map[string]mount{
		"/var/lib/etcd":       {point: "/var/lib", device: "/dev/sdc1", fsType: "xfs"},
		"/var/libx":           {point: "/", device: "/dev/sda1", fsType: "ext4", number: "8:1"},
		"/old/a":              {point: "/old", device: "/dev/sdd1", fsType: "ext4", readOnly: true, damaged: true},
		"/new/a":              {point: "/new", device: "/dev/sde1", fsType: "ext4", readOnly: true, damaged: true},
		"/made-so":            {point: "/made-so", device: "/dev/sdf1", fsType: "ext4", readOnly: true},
		"/image":              {point: "/image", device: "/dev/loop0", fsType: "squashfs", readOnly: true},
		"/mnt/with space/a/b": {point: "/mnt/with space", device: "tmpfs", fsType: "tmpfs", readOnly: true},
	} {
		if got := mountOf(mounts, path); got != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := mountOf(nil, "/var/lib/etcd"); got.point != "/var/lib/etcd" || got.device != "unknown" {
		t.Errorf("without mounts: %+v", got)
	}
}
