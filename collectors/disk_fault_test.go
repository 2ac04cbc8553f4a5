package collectors

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestDiskFaults has one disk go through all that disks do.
func TestDiskFaults(t *testing.T) {
	t.Parallel()
	disk := real.NeedSlowDisk(t)
	well := real.NeedSlowDisk(t)
	s := defaultDiskSettings()
	s.Paths = []string{disk.Dir, well.Dir}
	s.Thresholds.Fsync = DurationLimits{Warning: 200 * time.Millisecond, Critical: 3 * time.Second}
	s.Thresholds.Usage, s.Thresholds.Inodes = Limits{}, Limits{}
	check := newCheck(t, s)
	first := disk.Dir + " (device " + disk.Source + ", fuse), which holds " + disk.Dir + ", "
	// What the disk does, and what is said of it.
	for _, c := range []struct {
		name   string
		fault  real.DiskFault
		status health.Status
		words  string
	}{
		{"slow", real.DiskFault{Fsync: 300 * time.Millisecond}, health.Warning, "to write and fsync 4 KiB; etcd asks for less than 0.01 s"},
		{"very slow", real.DiskFault{Fsync: 3100 * time.Millisecond}, health.Critical, "to write and fsync 4 KiB"},
		{"failing", real.DiskFault{FsyncErr: unix.EIO}, health.Critical, "fails: fsync: input/output error"},
		{"full", real.DiskFault{WriteErr: unix.ENOSPC}, health.Critical, "fails: create: no space left on device"},
		{"full for fsync alone", real.DiskFault{FsyncErr: unix.ENOSPC}, health.Critical, "fails: fsync: no space left on device"},
	} {
		disk.Set(c.fault)
		got := run(t, check, diskTimeout)
		got.expect(t, disk.Dir, c.status, first, c.words)
		failed := c.fault.FsyncErr != 0 || c.fault.WriteErr != 0
		if success := got.value(t, &diskFsyncSuccess, disk.Dir, disk.Source); success != boolean(!failed) {
			t.Errorf("%s: success is %v", c.name, success)
		}
		if up := got.value(t, &diskUp, disk.Dir, disk.Source); up != boolean(!failed) {
			t.Errorf("%s: up is %v", c.name, up)
		}
		if last := got.value(t, &diskFsyncLast, disk.Dir, disk.Source); last < c.fault.Fsync.Seconds() {
			t.Errorf("%s: the last fsync took %v s", c.name, last)
		}
		if got.results[well.Dir].Reason != "" && got.results[well.Dir].Status == health.Critical {
			t.Errorf("%s: the other disk: %+v", c.name, got.results[well.Dir])
		}
	}
	disk.Heal()
	healthy(t, check, disk.Dir)
}

// TestDiskThatHangs has a disk whose fsync never returns, and one that answers
// nothing at all any more, as a dead NFS server's: twice, since the second run
// meets what the first has left behind.
func TestDiskThatHangs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault real.DiskFault
		step  string
	}{
		"fsync":      {real.DiskFault{HangFsync: true}, "does not answer: fsync has not returned for "},
		"everything": {real.DiskFault{Hang: true}, "does not answer: stat has not returned for "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk, well := real.NeedSlowDisk(t), real.NeedSlowDisk(t)
			check := newCheck(t, lenient(disk.Dir, well.Dir))
			healthy(t, check, disk.Dir)
			disk.Set(c.fault)
			for range 2 {
				got := run(t, check, 2*time.Second)
				got.expect(t, disk.Dir, health.Critical, disk.Source, c.step)
				got.expect(t, well.Dir, health.OK)
				if got.value(t, &diskUp, disk.Dir, disk.Source) != 0 || got.value(t, &diskFsyncSuccess, disk.Dir, disk.Source) != 0 {
					t.Error("it is shown as up")
				}
			}
			if n := disk.Waiting(); n != 1 {
				t.Errorf("%d calls hang: a run has begun another", n)
			}
			disk.Heal()
			healthy(t, check, disk.Dir)
		})
	}
}

// TestDiskThatHangsFromTheStart knows of the disk only what the mount table
// tells.
func TestDiskThatHangsFromTheStart(t *testing.T) {
	t.Parallel()
	disk := real.NeedSlowDisk(t)
	s := lenient(filepath.Join(disk.Dir, "etcd"))
	disk.Set(real.DiskFault{Hang: true})
	run(t, newCheck(t, s), time.Second).expect(t, disk.Dir, health.Critical, disk.Source, "stat has not returned for ")
}

// healthy waits until a disk is said to be well.
func healthy(t *testing.T, check Collector, subject string) {
	t.Helper()
	until(t, subject+" is well", func() bool {
		return run(t, check, diskTimeout).results[subject].Status == health.OK
	})
}

// TestDiskFullAndBroken works on a file system and a block device of its own.
func TestDiskFullAndBroken(t *testing.T) {
	t.Parallel()
	disk := real.NeedLoopDisk(t, 64<<20)
	s := defaultDiskSettings()
	s.Paths = []string{disk.Dir}
	s.Thresholds.Fsync, s.Thresholds.Await = DurationLimits{}, DurationLimits{}
	check := newCheck(t, s)
	healthy(t, check, disk.Dir)
	_, err := disk.Fill()
	must(t, err)
	got := run(t, check, diskTimeout)
	got.expect(t, disk.Dir, health.Critical, disk.Dir+" (device "+disk.Device+", ext4)", "no space left on device", "100 % full, 0 bytes are left")
	name := filepath.Base(disk.Device)
	if got.value(t, &diskAvailable, disk.Dir, disk.Device) != 0 || got.value(t, &diskRequests, name, "write") <= 0 || got.value(t, &diskInFlight, name) < 0 {
		t.Errorf("samples %+v", got.samples)
	}
	must(t, disk.Break())
	got = run(t, check, diskTimeout)
	got.expect(t, disk.Dir, health.Critical, "was turned read-only after an error", "has counted 1 errors in its structures since the last fsck")
	if got.value(t, &diskReadOnly, disk.Dir, disk.Device) != 1 || got.value(t, &diskFSErrors, disk.Dir, disk.Device) != 1 {
		t.Errorf("samples %+v", got.samples)
	}
}

// TestDiskRemountedReadOnly has nobody write, as to the containers' disk.
func TestDiskRemountedReadOnly(t *testing.T) {
	t.Parallel()
	disk := real.NeedLoopDisk(t, 8<<20)
	check := newCheck(t, lenient(disk.Dir)).(*diskCheck)
	check.probes[0].use = looked
	got := run(t, check, diskTimeout)
	got.expect(t, disk.Dir, health.OK)
	if got.has(&diskFsyncLast) || got.has(&diskFsyncSuccess) {
		t.Error("it was written to")
	}
	must(t, disk.ReadOnly())
	run(t, check, diskTimeout).expect(t, disk.Dir, health.Critical, "is read-only since it was mounted again, or after an error")
	// Who has never seen it otherwise takes it for what it is meant to be.
	check.histories = make(map[string]*diskHistory)
	run(t, check, diskTimeout).expect(t, disk.Dir, health.OK)
	check.probes[0].use = written
	run(t, check, diskTimeout).expect(t, disk.Dir, health.Critical, "is read-only")
}
