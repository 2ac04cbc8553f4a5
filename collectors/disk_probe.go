package collectors

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	probeSize = 4 << 10 // bytes written; about what etcd appends at a time
	// probePrefix begins the name of the probe's file. Leftovers of an agent that was
	// killed are removed once they are older than probeLeftover.
	probePrefix   = ".grapevine-fsync-"
	probeLeftover = 10 * time.Minute
)

// diskProbe looks at one path. All that touches the path happens on a
// goroutine of its own, which may never come back from the kernel: then the
// next runs wait for it and start no other.
type diskProbe struct {
	diskPlace

	mu       sync.Mutex // guards what follows
	running  *diskLook  // nil when none is under way
	resolved string     // path without symbolic links, empty until known
	device   uint64     // that it lay on when last looked at, 0 until known
	tidied   bool       // leftovers were removed
}

// diskLook is one look at a path, filled in as it goes.
type diskLook struct {
	begun    time.Time
	resolved chan struct{} // closed when the device is known, or the look has ended
	chosen   chan bool     // takes one word: whether to go on, for this file system
	done     chan struct{} // closed when the look has ended

	mu    sync.Mutex // guards what follows
	step  string     // what is being done now: "stat", "fsync"
	since time.Time  // when that began
	found diskFound
}

// diskFound is what a look has found so far.
type diskFound struct {
	device uint64 // 0 until known

	usage *diskUsage // nil until known

	fsynced bool
	fsync   time.Duration // of write and fsync together

	failed string // the step that failed
	err    error
}

// diskUsage is what statfs tells, in bytes and inodes.
type diskUsage struct {
	total, free, available float64
	inodes, inodesFree     float64 // 0 where the file system has no fixed number
	readOnly               bool
}

// start begins a look, or goes on with the one that has not come back; fresh
// tells which.
func (p *diskProbe) start() (look *diskLook, fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return p.running, false
	}
	l := &diskLook{
		begun: time.Now(), resolved: make(chan struct{}), chosen: make(chan bool, 1), done: make(chan struct{}),
		step: "stat", since: time.Now(),
	}
	p.running = l
	go func() {
		known := sync.OnceFunc(func() { close(l.resolved) })
		defer func() {
			if v := recover(); v != nil {
				l.fail(fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
			}
			p.mu.Lock()
			p.running = nil
			p.mu.Unlock()
			known()
			close(l.done)
		}()
		if err := p.look(l, known); err != nil {
			l.fail(err)
		}
	}()
	return l, true
}

// resolvedPath is the path to look for among the mounts.
func (p *diskProbe) resolvedPath() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resolved != "" {
		return p.resolved
	}
	return p.path
}

// knownDevice is the one of the last look that got so far.
func (p *diskProbe) knownDevice() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.device
}

// look does the work, calling known as soon as the device is.
func (p *diskProbe) look(l *diskLook, known func()) error {
	resolved, err := p.paths.follow(p.path)
	if err != nil {
		return err
	}
	path := p.paths.inRoot(resolved)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return syscall.ENOTDIR
	}
	p.mu.Lock()
	p.resolved, p.device = resolved, stat.Dev
	tidied := p.tidied
	p.tidied = true
	p.mu.Unlock()
	l.note(func() { l.found.device = stat.Dev })
	known()
	if !<-l.chosen {
		l.begin("end")
		return nil
	}
	l.begin("statfs")
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return err
	}
	block := float64(fs.Frsize)
	if block == 0 {
		block = float64(fs.Bsize)
	}
	l.note(func() {
		l.found.usage = &diskUsage{
			total: float64(fs.Blocks) * block, free: float64(fs.Bfree) * block, available: float64(fs.Bavail) * block,
			inodes: float64(fs.Files), inodesFree: float64(fs.Ffree),
			readOnly: fs.Flags&unix.ST_RDONLY != 0,
		}
	})
	if p.use != probed {
		l.begin("end")
		return nil
	}
	if !tidied {
		l.begin("readdir")
		removeLeftovers(path)
	}
	return l.write(path)
}

// write times writing and syncing a small file.
func (l *diskLook) write(dir string) error {
	l.begin("create")
	f, err := os.CreateTemp(dir, probePrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	l.begin("write")
	start := time.Now()
	if _, err := f.Write(make([]byte, probeSize)); err != nil {
		return err
	}
	l.begin("fsync")
	if err := f.Sync(); err != nil {
		return err
	}
	took := time.Since(start)
	l.note(func() { l.found.fsynced, l.found.fsync = true, took })
	l.begin("remove")
	return nil
}

// removeLeftovers removes old files of ours; young ones may be at work.
func removeLeftovers(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), probePrefix) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > probeLeftover {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

func (l *diskLook) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *diskLook) begin(step string) {
	l.note(func() { l.step, l.since = step, time.Now() })
}

func (l *diskLook) fail(err error) {
	l.note(func() { l.found.failed, l.found.err = l.step, err })
}

// now returns what was found so far, the step under way and when it began.
func (l *diskLook) now() (diskFound, string, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.found, l.step, l.since
}
