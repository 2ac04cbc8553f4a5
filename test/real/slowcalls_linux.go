package real

import (
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// slowCalls is what the kernel calls when somebody works on a SlowDisk. Where
// no fault is set, the folder behind answers.
type slowCalls struct {
	fuse.RawFileSystem
	disk *SlowDisk
}

// begin waits while the disk hangs. It returns what else is wrong with it, and
// what is to be called at the end.
func (c *slowCalls) begin(hangs func(DiskFault) bool) (DiskFault, func()) {
	d := c.disk
	d.waiting.Add(1)
	for {
		d.mu.Lock()
		fault, changed := d.fault, d.changed
		d.mu.Unlock()
		if !fault.Hang && !hangs(fault) {
			return fault, func() { d.waiting.Add(-1) }
		}
		// A signal does not end this, as it does not end the wait for a disk.
		<-changed
	}
}

func never(DiskFault) bool { return false }

// sync is what all forms of fsync come to.
func (c *slowCalls) sync(behind func() fuse.Status) fuse.Status {
	c.disk.fsyncs.Add(1)
	start := time.Now()
	f, end := c.begin(func(f DiskFault) bool { return f.HangFsync })
	defer end()
	if f.FsyncErr != 0 {
		return fuse.Status(f.FsyncErr)
	}
	status := behind()
	time.Sleep(f.Fsync - time.Since(start))
	return status
}

// grow is what takes space.
func (c *slowCalls) grow(behind func() fuse.Status) fuse.Status {
	f, end := c.begin(never)
	defer end()
	if f.WriteErr != 0 {
		return fuse.Status(f.WriteErr)
	}
	return behind()
}

// look is what only reads.
func (c *slowCalls) look(behind func() fuse.Status) fuse.Status {
	_, end := c.begin(never)
	defer end()
	return behind()
}

// What follows is fuse.RawFileSystem; the methods not here pass through.

func (c *slowCalls) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return c.sync(func() fuse.Status { return c.RawFileSystem.Fsync(cancel, in) })
}

func (c *slowCalls) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return c.sync(func() fuse.Status { return c.RawFileSystem.FsyncDir(cancel, in) })
}

func (c *slowCalls) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (n uint32, status fuse.Status) {
	status = c.grow(func() (status fuse.Status) {
		n, status = c.RawFileSystem.Write(cancel, in, data)
		return status
	})
	return n, status
}

func (c *slowCalls) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (n uint32, status fuse.Status) {
	status = c.grow(func() (status fuse.Status) {
		n, status = c.RawFileSystem.Writev(cancel, in, data)
		return status
	})
	return n, status
}

func (c *slowCalls) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	return c.grow(func() fuse.Status { return c.RawFileSystem.Fallocate(cancel, in) })
}

func (c *slowCalls) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return c.grow(func() fuse.Status { return c.RawFileSystem.Create(cancel, in, name, out) })
}

func (c *slowCalls) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return c.grow(func() fuse.Status { return c.RawFileSystem.Mkdir(cancel, in, name, out) })
}

func (c *slowCalls) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return c.look(func() fuse.Status { return c.RawFileSystem.Lookup(cancel, in, name, out) })
}

func (c *slowCalls) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return c.look(func() fuse.Status { return c.RawFileSystem.GetAttr(cancel, in, out) })
}

func (c *slowCalls) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	return c.look(func() fuse.Status { return c.RawFileSystem.Statx(cancel, in, out) })
}

func (c *slowCalls) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return c.look(func() fuse.Status { return c.RawFileSystem.StatFs(cancel, in, out) })
}

func (c *slowCalls) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return c.look(func() fuse.Status { return c.RawFileSystem.Open(cancel, in, out) })
}

func (c *slowCalls) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return c.look(func() fuse.Status { return c.RawFileSystem.OpenDir(cancel, in, out) })
}

func (c *slowCalls) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (result fuse.ReadResult, status fuse.Status) {
	status = c.look(func() (status fuse.Status) {
		result, status = c.RawFileSystem.Read(cancel, in, buf)
		return status
	})
	return result, status
}
