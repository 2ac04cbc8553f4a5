package collectors

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/health"
)

// maxSmallFile bounds what is read of a file of the node, in bytes.
const maxSmallFile = 64 << 10

// readSmall reads the beginning of a file.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSmallFile))
}

// openFiles judges how many of the files the kernel can have open are.
func (c *systemCheck) openFiles(r *Report) {
	const subject = "open files"
	v, err := c.proc.SysctlInts("fs.file-nr") // open, unused, limit
	if err == nil && (len(v) != 3 || v[2] <= 0) {
		err = errors.New("fs.file-nr is not of three numbers")
	}
	if err != nil {
		unreadable(r, subject, err)
		return
	}
	open, limit := float64(v[0]), float64(v[2])
	r.Sample(&systemOpenFiles, open)
	r.Sample(&systemOpenFilesLimit, limit)
	a := filling(open/limit, c.settings.Thresholds.OpenFiles)
	a.hold(open/limit, c.settings.Thresholds.OpenFiles, "ratio", "has %.0f files open, %s of the %.0f it can (fs.file-max)", open, percent(open/limit), limit)
	a.verdict(r, subject)
}

// threads judges how many of the process ids are taken.
func (c *systemCheck) threads(r *Report) {
	const subject = "pids"
	threads, err := c.threadCount()
	pids, errPids := c.proc.SysctlInts("kernel.pid_max")
	most, errMost := c.proc.SysctlInts("kernel.threads-max")
	if err = errors.Join(err, errPids, errMost); err == nil && (len(pids) != 1 || len(most) != 1 || min(pids[0], most[0]) <= 0) {
		err = errors.New("kernel.pid_max or kernel.threads-max is not a number above zero")
	}
	if err != nil {
		unreadable(r, subject, err)
		return
	}
	limit := float64(min(pids[0], most[0]))
	r.Sample(&systemThreads, threads)
	r.Sample(&systemThreadsLimit, limit)
	a := filling(threads/limit, c.settings.Thresholds.Threads)
	a.hold(threads/limit, c.settings.Thresholds.Threads, "ratio", "has %.0f threads, %s of the %.0f it can (kernel.pid_max, kernel.threads-max)", threads, percent(threads/limit), limit)
	a.verdict(r, subject)
}

// threadCount is the number after the slash in "0.41 0.33 0.30 2/1291 40531".
func (c *systemCheck) threadCount() (float64, error) {
	text, err := readSmall(filepath.Join(c.paths.Proc, "loadavg"))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(text)
	if len(fields) != 5 {
		return 0, fmt.Errorf("loadavg is not of five fields: %s", clip(string(text), 80))
	}
	_, total, _ := bytes.Cut(fields[3], []byte("/"))
	return strconv.ParseFloat(string(total), 64)
}

// filling is an assessment of the node whose evidence is a ratio.
func filling(ratio float64, limits Limits) *assessment {
	_, limit := limits.judge(0)
	return &assessment{about: "this node", measured: health.Evidence{Value: ratio, Threshold: limit, Unit: "ratio"}}
}

// inotify judges the limits, and whether one more instance is to be had:
// those of all pods that run as root count together.
func (c *systemCheck) inotify(r *Report, judged bool) {
	err := tryInotify()
	r.Sample(&systemInotify, boolean(err == nil))
	if !judged {
		return
	}
	a := &assessment{about: "this node"}
	switch {
	case errors.Is(err, unix.EMFILE):
		a.add(health.Critical, "has no inotify instance left for user %d: raise fs.inotify.max_user_instances", os.Getuid())
	case errors.Is(err, unix.ENOSPC):
		a.add(health.Critical, "has no inotify watch left for user %d: raise fs.inotify.max_user_watches", os.Getuid())
	case err != nil:
		a.add(health.Unknown, "could not be asked for an inotify instance: %v", err)
	}
	for _, limit := range []struct {
		name  string
		least float64
	}{
		{"fs.inotify.max_user_instances", c.settings.Thresholds.InotifyInstances},
		{"fs.inotify.max_user_watches", c.settings.Thresholds.InotifyWatches},
	} {
		if v, err := c.proc.SysctlInts(limit.name); err == nil && len(v) == 1 && float64(v[0]) < limit.least {
			a.findings = append(a.findings, finding{
				status: health.Warning, text: fmt.Sprintf("allows a user too little: %s is %d, at least %.0f is wanted", limit.name, v[0], limit.least),
				evidence: health.Evidence{Value: float64(v[0]), Threshold: limit.least, Unit: "entries"},
			})
		}
	}
	a.verdict(r, "inotify")
}

// tryInotify gets an instance with one watch, and gives it back.
func tryInotify() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.InotifyAddWatch(fd, "/", unix.IN_DELETE_SELF)
	return err
}

// swap is judged where the kubelet has a configuration file of its own: k3s
// and RKE2 let swap be.
func (c *systemCheck) swap(r *Report, judged bool) {
	const subject = "swap"
	swaps, err := c.proc.Swaps()
	if err != nil {
		if judged {
			unreadable(r, subject, err)
		}
		return
	}
	total, names := 0.0, ""
	for _, s := range swaps {
		total += float64(s.Size) * 1024
		names = s.Filename
	}
	r.Sample(&systemSwap, total)
	kubelet := readKubeletConfig(c.paths)
	if !judged || kubelet.file == "" {
		return
	}
	if total > 0 && (kubelet.FailSwapOn == nil || *kubelet.FailSwapOn) {
		r.Verdict(subject, health.Warning, fmt.Sprintf("%s of swap are on (%s), and failSwapOn is not false: the kubelet will not start again; swapoff -a, and take it out of /etc/fstab", size(total), clip(names, 100)),
			health.Evidence{Value: total, Unit: "bytes"})
		return
	}
	r.Verdict(subject, health.OK, "", health.Evidence{Value: total, Unit: "bytes"})
}
