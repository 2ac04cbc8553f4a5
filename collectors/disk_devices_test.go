package collectors

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// sysTree is a node's /proc and /sys, as far as they tell of disks.
type sysTree struct {
	t    *testing.T
	root string
}

func newSysTree(t *testing.T) sysTree { return sysTree{t, t.TempDir()} }

func (s sysTree) paths() Paths {
	return Paths{Proc: filepath.Join(s.root, "proc"), Sys: filepath.Join(s.root, "sys"), Root: filepath.Join(s.root, "root")}
}

func (s sysTree) write(path, content string) {
	s.t.Helper()
	path = filepath.Join(s.root, path)
	must(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(s.t, os.WriteFile(path, []byte(content), 0o600))
}

func (s sysTree) link(target, path string) {
	s.t.Helper()
	path = filepath.Join(s.root, path)
	must(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(s.t, os.Symlink(target, path))
}

// device adds a disk, or a partition "sda/sda1" of one.
func (s sysTree) device(number, name string) {
	s.t.Helper()
	base := filepath.Base(name)
	s.write("sys/devices/block/"+name+"/dev", number)
	s.link("../../devices/block/"+name, "sys/dev/block/"+number)
	s.link("../../devices/block/"+name, "sys/class/block/"+base)
	if base != name {
		s.write("sys/devices/block/"+name+"/partition", "1")
		return
	}
	s.link("../devices/block/"+name, "sys/block/"+name)
	s.stat(name, 0, 0, 0)
}

// stat sets a disk's counters: completed reads, the milliseconds they took,
// and requests in flight.
func (s sysTree) stat(name string, reads, millis, inFlight int) {
	s.t.Helper()
	s.write("sys/devices/block/"+name+"/stat", fmt.Sprintf("%d 0 0 %d 500 0 0 2500 %d 7000 0 0 0 0 0 9 18", reads, millis, inFlight))
}

// mountTable makes the node's mount table of lines "8:1 /data ext4 /dev/sda1".
func (s sysTree) mountTable(lines ...string) {
	s.t.Helper()
	var table strings.Builder
	for i, line := range lines {
		f := strings.Fields(line)
		fmt.Fprintf(&table, "%d 1 %s / %s rw,relatime - %s %s rw\n", i+20, f[0], f[1], f[2], f[3])
		must(s.t, os.MkdirAll(filepath.Join(s.root, "root", f[1]), 0o755))
	}
	s.write("proc/1/mountinfo", table.String())
}

// check looks at the mount points of such a node, and lets time pass between
// its runs.
func (s sysTree) check(points ...string) func(after time.Duration) seen {
	settings := lenient(points...)
	settings.Thresholds = defaultDiskSettings().Thresholds
	settings.Thresholds.Usage, settings.Thresholds.Inodes, settings.Thresholds.Fsync = Limits{}, Limits{}, DurationLimits{}
	env := testEnv()
	env.Paths = s.paths()
	c, err := settings.New(env)
	must(s.t, err)
	now := time.Now()
	for _, p := range c.(*diskCheck).probes {
		p.use = looked
	}
	return func(after time.Duration) seen {
		s.t.Helper()
		now = now.Add(after)
		return runAt(s.t, c, diskTimeout, func() time.Time { return now })
	}
}

func TestDiskDevices(t *testing.T) {
	t.Parallel()
	tree := newSysTree(t)
	tree.device("8:0", "sda")
	tree.device("8:1", "sda/sda1")
	tree.write("sys/devices/block/sda/device/state", "running\n")
	tree.write("sys/devices/block/sda/device/ioerr_cnt", "0x10\n")
	tree.mountTable("8:1 / ext4 /dev/sda1")
	tree.write("sys/fs/ext4/sda1/errors_count", "0\n")
	look := tree.check("/")
	got := look(0)
	got.expect(t, "/", health.OK)
	for metric, want := range map[*Metric]float64{&diskOnline: 1, &diskIOErrors: 16, &diskStuck: 0, &diskBusy: 7, &diskInFlight: 0} {
		if v := got.value(t, metric, "sda"); v != want {
			t.Errorf("%s is %v, not %v", metric.Name, v, want)
		}
	}
	if got.value(t, &diskRequests, "sda", "flush") != 9 || got.value(t, &diskRequestSeconds, "sda", "write") != 2.5 || got.value(t, &diskAwait, "sda", "write") != 0 {
		t.Errorf("samples %+v", got.samples)
	}
	if got.value(t, &diskFSErrors, "/", "/dev/sda1") != 0 || got.has(&diskArrayMissing) {
		t.Errorf("samples %+v", got.samples)
	}

	tree.stat("sda", 3, 9000, 1) // too few to judge
	got = look(10 * time.Second)
	got.expect(t, "/", health.OK)
	if got.value(t, &diskAwait, "sda", "read") != 3 {
		t.Errorf("samples %+v", got.samples)
	}
	tree.stat("sda", 13, 15000, 1)
	look(10*time.Second).expect(t, "/", health.Warning, "waits for its device sda, which needs 0.6 s for a read on average")
	tree.stat("sda", 23, 35000, 4)
	look(10*time.Second).expect(t, "/", health.Critical, "needs 2 s for a read on average")
	look(10*time.Second).expect(t, "/", health.Warning, "waits for its device sda, which has completed none of its 4 requests for 10 s")
	got = look(20 * time.Second)
	got.expect(t, "/", health.Critical, "none of its 4 requests for 30 s")
	if got.value(t, &diskStuck, "sda") != 30 {
		t.Errorf("samples %+v", got.samples)
	}
	tree.stat("sda", 24, 35100, 3)
	look(10*time.Second).expect(t, "/", health.OK)
	tree.stat("sda", 24, 35100, 0)
	look(time.Minute).expect(t, "/", health.OK)
	tree.stat("sda", 1, 5, 0) // another disk in its place
	look(10*time.Second).expect(t, "/", health.OK)

	tree.write("sys/devices/block/sda/device/ioerr_cnt", "0x14\n") // smartd
	look(10*time.Second).expect(t, "/", health.OK)
	tree.write("sys/devices/block/sda/device/ioerr_cnt", "0x22\n")
	look(10*time.Second).expect(t, "/", health.Warning, "device sda, which has answered with 18 errors within 10 minutes")
	look(11*time.Minute).expect(t, "/", health.OK)

	tree.write("sys/fs/ext4/sda1/errors_count", "2\n")
	look(10*time.Second).expect(t, "/", health.Critical, "has counted 2 errors in its structures since the last fsck")
	look(11*time.Minute).expect(t, "/", health.Warning, "has counted 2 errors")
	tree.write("sys/fs/ext4/sda1/errors_count", "0\n")

	tree.write("sys/devices/block/sda/device/state", "blocked\n")
	look(10*time.Second).expect(t, "/", health.Warning, "lies on device sda, which is blocked")
	tree.write("sys/devices/block/sda/device/state", "offline\n")
	got = look(10 * time.Second)
	got.expect(t, "/", health.Critical, "/ (device /dev/sda1, ext4)", "lies on device sda, which is offline")
	if got.value(t, &diskOnline, "sda") != 0 {
		t.Error("it is shown as online")
	}
	for _, file := range []string{"stat", "device/state", "device/ioerr_cnt"} {
		tree.write("sys/devices/block/sda/"+file, "<html>")
	}
	tree.write("sys/devices/block/sda/device/state", "")
	tree.write("sys/fs/ext4/sda1/errors_count", "many")
	if got = look(10 * time.Second); got.results["/"].Status != health.OK || got.has(&diskIOErrors) || got.has(&diskFSErrors) || got.has(&diskRequests) {
		t.Errorf("of nonsense: %+v, %+v", got.results, got.samples)
	}
}

// TestDiskBelow finds the disks below a logical volume on an array, and those
// of a file system that has no device number of its own.
func TestDiskBelow(t *testing.T) {
	t.Parallel()
	tree := newSysTree(t)
	tree.device("253:0", "dm-0")
	tree.device("9:0", "md0")
	for i, disk := range []string{"sda", "sdb"} {
		tree.device(fmt.Sprintf("8:%d", 16*i), disk)
		tree.device(fmt.Sprintf("8:%d", 16*i+1), disk+"/"+disk+"1")
		tree.link("../../"+disk+"/"+disk+"1", "sys/devices/block/md0/slaves/"+disk+"1")
	}
	tree.link("../../md0", "sys/devices/block/dm-0/slaves/md0")
	tree.write("sys/devices/block/sdb/device/state", "offline")
	tree.write("proc/mdstat", "Personalities : [raid1]\nmd0 : active raid1 sda1[0] sdb1[1](F)\n      5237760 blocks super 1.2 [2/1] [U_]\n\nunused devices: <none>\n")
	tree.device("259:0", "nvme0n1")
	tree.device("259:1", "nvme0n1/nvme0n1p1")
	tree.write("sys/devices/block/nvme0n1/device/state", "live")
	tree.link("../dm-0", "root/dev/mapper/data")
	tree.mountTable("253:0 / ext4 /dev/mapper/root", "0:40 /a btrfs /dev/nvme0n1p1", "0:41 /b btrfs /dev/mapper/data", "0:42 /c nfs server:/c", "0:43 /d tmpfs tmpfs")
	b := newBlockDevices(tree.paths())
	mounts, err := tree.paths().mounts()
	must(t, err)
	for point, want := range map[string]string{
		"/": "[dm-0 md0 sda sdb]", "/a": "[nvme0n1]", "/b": "[dm-0 md0 sda sdb]", "/c": "[]", "/d": "[]",
	} {
		if got := fmt.Sprint(b.below(mountOf(mounts, point))); got != want {
			t.Errorf("below %s: %s, not %s", point, got, want)
		}
	}
	got := tree.check("/")(0)
	got.expect(t, "/", health.Critical, "lies on device sdb, which is offline", "lies on array md0, which has lost 1 of its 2 disks")
	if got.value(t, &diskArrayMissing, "md0") != 1 || got.value(t, &diskOnline, "sdb") != 0 {
		t.Errorf("samples %+v", got.samples)
	}
	for i := range 3 * maxBelow {
		tree.device(fmt.Sprintf("65:%d", i), fmt.Sprintf("sdx%d", i))
		tree.link("../../x", fmt.Sprintf("sys/devices/block/md0/slaves/sdx%d", i))
	}
	if n := len(b.below(mountOf(mounts, "/"))); n != maxBelow {
		t.Errorf("%d devices below", n)
	}
}

func TestPathsFollow(t *testing.T) {
	t.Parallel()
	tree := newSysTree(t)
	tree.write("root/data/docker/file", "")
	tree.link("/data", "root/var/lib")
	tree.link("../../data/docker", "root/data/up")
	tree.link("loop", "root/data/loop")
	for path, want := range map[string]string{
		"/": "/", "/var/lib/docker": "/data/docker", "/var/lib/./up/file": "/data/docker/file", "/var/lib/../data": "/data", "/../../data": "/data",
		"/data/loop": "", "/data/absent": "",
	} {
		got, err := tree.paths().follow(path)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}
