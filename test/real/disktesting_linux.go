package real

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// NeedSlowDisk mounts a SlowDisk that goes with the test. It is healed when
// the test ends and before servers are stopped: one that waits for a hung disk
// cannot be killed.
func NeedSlowDisk(tb testing.TB) *SlowDisk {
	tb.Helper()
	needDevice(tb, "/dev/fuse")
	d, err := StartSlowDisk(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	stopAtEnd(tb, d)
	context.AfterFunc(tb.Context(), d.Heal)
	return d
}

// NeedLoopDisk makes a LoopDisk of so many bytes that goes with the test.
func NeedLoopDisk(tb testing.TB, size int64) *LoopDisk {
	tb.Helper()
	needDevice(tb, "/dev/loop-control")
	need(tb, "mkfs.ext4")
	d, err := StartLoopDisk(tb.TempDir(), size)
	if err != nil {
		tb.Fatal(err)
	}
	stopAtEnd(tb, d)
	return d
}

// needDevice skips a test that cannot mount from this device, or fails it when
// CI=true.
func needDevice(tb testing.TB, device string) {
	tb.Helper()
	needRoot(tb, "a disk has to be mounted")
	err := unix.Access(device, unix.R_OK|unix.W_OK)
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		tb.Fatalf("needs %s: %v", device, err)
	default:
		tb.Skipf("needs %s: %v", device, err)
	}
}
