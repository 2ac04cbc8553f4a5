package real

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// SlowDisk is a folder in front of another one, whose disk can be made slow,
// broken, full or dead while programs work on it.
type SlowDisk struct {
	Dir     string // the folder to work on: a mount point
	Backing string // the folder behind it, always well
	Source  string // the device's name in the mount table

	server  *fuse.Server
	fsyncs  atomic.Int64
	waiting atomic.Int64

	mu      sync.Mutex // guards what follows
	fault   DiskFault
	changed chan struct{} // closed and replaced with fault
}

// DiskFault is how a SlowDisk misbehaves. The zero value is a disk that is
// well. It holds for files and for directories.
type DiskFault struct {
	Fsync     time.Duration // the least time that each fsync and fdatasync takes
	FsyncErr  syscall.Errno // what they answer: EIO
	WriteErr  syscall.Errno // what everything answers that takes space: ENOSPC
	HangFsync bool          // they do not return
	Hang      bool          // nothing returns, as on a dead NFS server
}

// StartSlowDisk mounts the disk below dir, which must exist. It needs root and
// /dev/fuse, but no program.
func StartSlowDisk(dir string) (*SlowDisk, error) {
	if err := removeDeadMounts(); err != nil {
		return nil, err
	}
	number := diskNumber.Add(1)
	d := &SlowDisk{
		Dir:     mountPoint(dir, number),
		Backing: filepath.Join(dir, fmt.Sprintf("backing-%d", number)),
		Source:  fmt.Sprintf("/dev/slow%d", number),
		changed: make(chan struct{}),
	}
	if err := errors.Join(os.Mkdir(d.Dir, 0o755), os.Mkdir(d.Backing, 0o755)); err != nil {
		return nil, fmt.Errorf("making a slow disk: %w", err)
	}
	if err := d.mount(); err != nil {
		return nil, fmt.Errorf("mounting a slow disk: %w", err)
	}
	return d, nil
}

func (d *SlowDisk) mount() error {
	root, err := fs.NewLoopbackRoot(d.Backing)
	if err != nil {
		return err
	}
	calls := &slowCalls{RawFileSystem: fs.NewNodeFS(root, &fs.Options{}), disk: d}
	// Opened and mounted here, because go-fuse would let child processes
	// inherit the descriptor: they would keep a dead disk's callers waiting.
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/fuse: %w", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount(d.Source, d.Dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	// Without the passthrough, every read and write comes by here.
	d.server, err = fuse.NewServer(calls, fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{DisabledCapabilities: fuse.CAP_PASSTHROUGH})
	if err != nil {
		return errors.Join(err, unix.Unmount(d.Dir, unix.MNT_DETACH), unix.Close(fd))
	}
	go d.server.Serve()
	if err := errors.Join(d.server.WaitMount(), d.endPolling()); err != nil {
		return errors.Join(err, d.Stop())
	}
	return nil
}

// endPolling makes the kernel learn that these files cannot be polled. The Go
// runtime asks when it opens a file, on a thread that it does not know to be
// waiting: the answer, which this same program has to give, could never come.
func (d *SlowDisk) endPolling() error {
	name := filepath.Join(d.Dir, "poll")
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return errors.Join(err, unix.Close(fd), unix.Unlink(name))
}

// Set makes the disk misbehave from now on. Calls that hang go on if the new
// fault does not hold them.
func (d *SlowDisk) Set(f DiskFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
	close(d.changed)
	d.changed = make(chan struct{})
}

// Heal makes the disk well again.
func (d *SlowDisk) Heal() { d.Set(DiskFault{}) }

// Fsyncs counts the fsyncs and fdatasyncs that were begun.
func (d *SlowDisk) Fsyncs() int { return int(d.fsyncs.Load()) }

// Waiting counts the calls that have not returned.
func (d *SlowDisk) Waiting() int { return int(d.waiting.Load()) }

// Stop heals the disk and takes it away. Who has files open there must have
// ended.
func (d *SlowDisk) Stop() error {
	d.Heal()
	if err := retryBusy(func() error { return unix.Unmount(d.Dir, 0) }); err != nil {
		// It then lasts until the last file is closed.
		return errors.Join(fmt.Errorf("unmounting %s: %w", d.Dir, err), unix.Unmount(d.Dir, unix.MNT_DETACH))
	}
	ended := make(chan struct{})
	go func() { d.server.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(unmountPatience):
	}
	return nil
}

// unmountPatience is how long Stop waits for the end of the file system. A
// host or a container that was started meanwhile has a copy of the mount in a
// namespace of its own: while it lives, so does the file system, which hurts
// nobody.
const unmountPatience = time.Second
