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

func TestDiskDetection(t *testing.T) {
	dir := t.TempDir()
	absent, present := filepath.Join(dir, "absent"), filepath.Join(dir, "present")
	if _, err := defaultDiskSettings().newWith([]string{absent}, testEnv()); !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), absent) {
		t.Errorf("error %v", err)
	}
	must(t, os.Mkdir(present, 0o700))
	for name, env := range map[string]Env{"etcd's": testEnv(), "the agent's": {Logger: testEnv().Logger, Registry: testEnv().Registry, StoragePath: present}} {
		s := lenient()
		check, err := s.newWith([]string{absent, present}, env)
		if err != nil {
			t.Fatal(err)
		}
		got := run(t, check, diskTimeout)
		if len(got.results) != 1 || got.results[mountAt(t, present).point].Status != health.OK {
			t.Errorf("%s: %+v", name, got.results)
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
	mounts := []*procfs.MountInfo{
		{MountPoint: "/", Source: "/dev/sda1", FSType: "ext4"},
		{MountPoint: "/var/lib", Source: "/dev/sdb1", FSType: "xfs", Options: map[string]string{"ro": ""}},
		{MountPoint: "/var/lib", Source: "/dev/sdc1", FSType: "xfs"},
		{MountPoint: `/mnt/with\040space`, Source: "tmpfs", FSType: "tmpfs", SuperOptions: map[string]string{"ro": ""}},
	}
	for path, want := range map[string]mount{
		"/var/lib/etcd":       {point: "/var/lib", device: "/dev/sdc1", fsType: "xfs"},
		"/var/libx":           {point: "/", device: "/dev/sda1", fsType: "ext4"},
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
