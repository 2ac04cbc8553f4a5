package real

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// diskNumber counts the disks of this program.
var diskNumber atomic.Int64

// mountPrefix begins the name of each directory this package mounts on. The
// number of the process that did follows, then the number of the disk.
const mountPrefix = "grapevine-test-disk-"

func mountPoint(dir string, number int64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%d-%d", mountPrefix, os.Getpid(), number))
}

// removeDeadMounts unmounts what tests that were killed have left behind. The
// device below goes with its mount.
func removeDeadMounts() error {
	mounts, err := procfs.GetMounts()
	if err != nil {
		return fmt.Errorf("reading the mount table: %w", err)
	}
	for _, m := range mounts {
		of, ours := strings.CutPrefix(filepath.Base(m.MountPoint), mountPrefix)
		owner, _, _ := strings.Cut(of, "-")
		pid, err := strconv.Atoi(owner)
		if !ours || err != nil || unix.Kill(pid, 0) == nil {
			continue
		}
		// Another test's program may be at it, too.
		if err := unix.Unmount(m.MountPoint, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmounting what a killed test left at %s: %w", m.MountPoint, err)
		}
	}
	return nil
}

// retryBusy waits for the kernel to close files of programs that have ended.
func retryBusy(unmount func() error) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := unmount()
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}
