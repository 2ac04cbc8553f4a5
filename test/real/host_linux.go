package real

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hostPrefix begins the name of every host's directory, which is also the
// name of its cgroup.
const hostPrefix = "grapevine-host-"

// HostOptions says what host StartHost makes. All may be left empty.
type HostOptions struct {
	NetNS string // name of an existing network namespace; empty: a new one, with loopback only
}

// Host is a machine within this machine: processes, mounts, network and
// cgroups of their own, an empty /run, and all else of this machine's files.
// What runs in it ends with it, whatever it has started, mounted or forgotten,
// also when this program is killed.
type Host struct {
	*Process
	Dir string // for files, short enough for sockets; removed with the host

	work string   // empty; where what runs here is
	lock *os.File // held as long as Dir is in use; nil once stopped
}

// hostScript runs as the host's first process: $1 is the name of its cgroup.
// It goes into that before it unshares the cgroup namespace, whose root that
// cgroup then is; control groups of both versions.
const hostScript = `set -e
mount --make-rprivate /
mount -t proc proc /proc
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then roots=/sys/fs/cgroup; else roots=$(echo /sys/fs/cgroup/*); fi
for root in $roots; do
	if [ -L $root ] || ! mkdir -p $root/$1 2>/dev/null; then continue; fi
	for file in cpuset.cpus cpuset.mems; do
		if [ -e $root/$file ] && [ -e $root/$1/$file ]; then cat $root/$file >$root/$1/$file; fi
	done
	echo 0 >$root/$1/cgroup.procs
done
exec unshare --cgroup /bin/sh -ec '
mount -t tmpfs -o mode=755 run /run
mount -t sysfs sysfs /sys
if [ "$1" = /sys/fs/cgroup ]; then
	mount -t cgroup2 cgroup /sys/fs/cgroup
	mkdir /sys/fs/cgroup/init
	echo 0 >/sys/fs/cgroup/init/cgroup.procs
	for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$c >/sys/fs/cgroup/cgroup.subtree_control; done
else
	mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
	while IFS=: read -r id controllers path; do
		case $controllers in
		"") mkdir /sys/fs/cgroup/unified && mount -t cgroup2 cgroup /sys/fs/cgroup/unified ;;
		name=*) mkdir /sys/fs/cgroup/${controllers#name=} && mount -t cgroup -o none,$controllers cgroup /sys/fs/cgroup/${controllers#name=} ;;
		*) mkdir /sys/fs/cgroup/$controllers && mount -t cgroup -o $controllers cgroup /sys/fs/cgroup/$controllers ;;
		esac
	done </proc/self/cgroup
fi
ip link set lo up
echo host is up
while :; do sleep 3600 & wait $!; done
' host "$roots"
`

// StartHost returns when the host is up. It needs root. ctx bounds the start,
// not the life of the host.
func StartHost(ctx context.Context, o HostOptions) (*Host, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("starting a host: only root can make namespaces and mounts")
	}
	sweepHosts()
	h, err := newHost()
	if err != nil {
		return nil, fmt.Errorf("starting a host: %w", err)
	}
	c := Command{Name: filepath.Base(h.Dir), Path: "/bin/sh", Args: []string{"-c", hostScript, "sh", filepath.Base(h.Dir)}}
	flags := uintptr(unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET)
	if o.NetNS != "" {
		flags &^= unix.CLONE_NEWNET
		c.Path, c.Args = "/usr/bin/nsenter", append([]string{"--net=" + netnsPath(o.NetNS), "--", "/bin/sh"}, c.Args...)
	}
	h.Process = NewProcess(c)
	h.attr.Cloneflags = flags
	if err := h.Start(); err != nil {
		return nil, errors.Join(err, h.Stop())
	}
	err = awaitReady(ctx, h.Process, func(context.Context) error {
		if !strings.Contains(h.Log(), "host is up") {
			return errors.New("its mounts are not made")
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting a host: %w", err), h.Stop())
	}
	return h, nil
}

func netnsPath(name string) string { return filepath.Join("/run/netns", name) }

// newHost makes the directory and locks it, so that no sweep takes it.
func newHost() (*Host, error) {
	dir, err := os.MkdirTemp("", hostPrefix)
	if err != nil {
		return nil, err
	}
	lock, err := os.Create(filepath.Join(dir, "lock.new"))
	if err == nil {
		err = errors.Join(unix.Flock(int(lock.Fd()), unix.LOCK_EX), os.Rename(lock.Name(), filepath.Join(dir, "lock")))
	}
	h := &Host{Dir: dir, work: filepath.Join(dir, "work"), lock: lock}
	return h, errors.Join(err, os.Mkdir(h.work, 0o700))
}

// sweepHosts removes what hosts of programs that were killed have left:
// directories and cgroups.
func sweepHosts() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), hostPrefix+"*"))
	for _, dir := range dirs {
		lock, err := os.Open(filepath.Join(dir, "lock"))
		if err != nil { // it is being made, or unmade
			continue
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = removeCgroups(filepath.Base(dir))
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}

// Stop ends all that runs in the host and removes its files and cgroups.
func (h *Host) Stop() error {
	if h.lock == nil {
		return nil
	}
	defer func() { h.lock = nil }()
	err := h.Kill()
	err = errors.Join(err, removeCgroups(filepath.Base(h.Dir)), os.RemoveAll(h.Dir))
	return errors.Join(err, h.lock.Close())
}

// Run runs a short command in the host and returns what it printed.
func (h *Host) Run(ctx context.Context, name string, args ...string) (string, error) {
	target := "--target=" + strconv.Itoa(h.Pid())
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{target, "--mount", "--net", "--pid", "--cgroup", "--", name}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// enter moves the calling thread into the host. The thread must be locked to
// its goroutine, and end with it.
func (h *Host) enter() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // what threads share of it cannot change its mounts
		return fmt.Errorf("entering %s: %w", h.Dir, err)
	}
	var files []*os.File
	for _, name := range []string{"cgroup", "net", "pid", "mnt"} { // mnt last: it hides the others' files
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", h.Pid(), name))
		if err != nil {
			return fmt.Errorf("entering %s: %w", h.Dir, err)
		}
		defer func() { _ = f.Close() }()
		files = append(files, f)
	}
	for _, f := range files {
		if err := unix.Setns(int(f.Fd()), 0); err != nil {
			return fmt.Errorf("entering %s: %w", f.Name(), err)
		}
	}
	return nil
}

// removeCgroups removes the cgroups of that name from the root of every
// hierarchy, with all below. Their processes are dead, but the kernel may
// need a moment to see it.
func removeCgroups(name string) error {
	var err error
	for range 100 {
		err = nil
		roots, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup/*", name))
		for _, root := range append(roots, filepath.Join("/sys/fs/cgroup", name)) {
			err = errors.Join(err, removeCgroup(root))
		}
		if err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("removing the cgroups %s: %w", name, err)
}

func removeCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeCgroup(filepath.Join(dir, e.Name())))
		}
	}
	if rmdir := syscall.Rmdir(dir); rmdir != nil && !errors.Is(rmdir, fs.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("removing %s: %w", dir, rmdir))
	}
	return err
}
