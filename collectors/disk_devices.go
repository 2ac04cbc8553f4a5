package collectors

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/blockdevice"
)

const (
	// maxDevices bounds the block devices watched, and with them the series.
	maxDevices = 32
	// maxBelow bounds the devices below one file system: the disks of an array.
	maxBelow = 16
	// errorWindow is how long a device's new errors are spoken of.
	errorWindow = 10 * time.Minute
)

// blockDevices remembers of block devices what only a difference between runs
// can tell.
type blockDevices struct {
	paths Paths
	known map[string]*blockDevice // by the kernel's name; those of the last run
}

// blockDevice is one device from run to run.
type blockDevice struct {
	io     ioHistory
	errors rising
}

// deviceLooks is what one run has found.
type deviceLooks struct {
	found map[string]*deviceLook // by the kernel's name
	// below has the devices below each file system, by mount point: first the
	// one it lies on, then what that one is made of.
	below map[string][]string
}

// deviceLook is what one run has found of a device.
type deviceLook struct {
	io        ioLook
	state     string  // "running", "live", "offline"; empty: the kernel does not say
	errors    float64 // since the device appeared; -1: the kernel does not count
	newErrors float64 // of these, within errorWindow
	missing   int64   // disks of an array; -1: it is none
	disks     int64   // that the array should have
	broken    bool    // the array does not work
}

func newBlockDevices(paths Paths) *blockDevices { return &blockDevices{paths: paths} }

// look reads what the kernel tells of all devices below the file systems.
func (b *blockDevices) look(now time.Time, systems []*fileSystem) *deviceLooks {
	looks := &deviceLooks{found: make(map[string]*deviceLook), below: make(map[string][]string)}
	kernel, err := blockdevice.NewFS(b.paths.Proc, b.paths.Sys)
	if err != nil {
		return looks // no sysfs: there is nothing to be known
	}
	known := make(map[string]*blockDevice)
	for _, s := range systems {
		for _, name := range b.below(s.mount) {
			if known[name] == nil {
				if len(known) == maxDevices {
					continue
				}
				known[name] = b.known[name]
				if known[name] == nil {
					known[name] = &blockDevice{}
				}
				looks.found[name] = b.lookAt(kernel, name, known[name], now)
			}
			looks.below[s.point] = append(looks.below[s.point], name)
		}
	}
	b.known = known // what has gone is forgotten
	b.lookAtArrays(looks)
	return looks
}

// lookAt reads what there is of one device.
func (b *blockDevices) lookAt(kernel blockdevice.FS, name string, d *blockDevice, now time.Time) *deviceLook {
	l := &deviceLook{errors: -1, missing: -1}
	if stat, _, err := kernel.SysBlockDeviceStat(name); err == nil {
		l.io = d.io.add(now, stat)
	}
	device := filepath.Join(b.paths.Sys, "block", name, "device")
	l.state = readLine(filepath.Join(device, "state"))
	if n, err := strconv.ParseUint(readLine(filepath.Join(device, "ioerr_cnt")), 0, 64); err == nil {
		l.errors = float64(n)
		l.newErrors = d.errors.add(now, l.errors, errorWindow)
	}
	return l
}

// lookAtArrays completes what was found of software RAID arrays.
func (b *blockDevices) lookAtArrays(looks *deviceLooks) {
	isArray := func(name string) bool { return strings.HasPrefix(name, "md") }
	for name := range looks.found {
		if !isArray(name) {
			continue
		}
		proc, err := procfs.NewFS(b.paths.Proc)
		if err != nil {
			return
		}
		arrays, err := proc.MDStat()
		if err != nil {
			return // a form of mdstat that the library cannot read
		}
		for _, a := range arrays {
			if l := looks.found[a.Name]; l != nil {
				l.disks, l.missing = a.DisksTotal, max(0, a.DisksTotal-a.DisksActive)
				l.broken = a.ActivityState == "inactive" || a.ActivityState == "broken"
			}
		}
		return
	}
}

// below names the devices below a file system; none for one without a device.
func (b *blockDevices) below(m mount) []string {
	own := b.deviceOf(m)
	if own == "" {
		return nil
	}
	names := []string{b.disk(own)}
	for i := 0; i < len(names); i++ { // it grows in the loop
		parts, err := os.ReadDir(filepath.Join(b.paths.Sys, "block", names[i], "slaves"))
		if err != nil {
			continue
		}
		for _, part := range parts {
			if disk := b.disk(part.Name()); len(names) < maxBelow && !slices.Contains(names, disk) {
				names = append(names, disk)
			}
		}
	}
	return names
}

// deviceOf is the kernel's name of the device or partition that is mounted.
func (b *blockDevices) deviceOf(m mount) string {
	if target, err := os.Readlink(filepath.Join(b.paths.Sys, "dev/block", m.number)); err == nil {
		return filepath.Base(target)
	}
	// btrfs has a number of its own; only its source tells.
	if !strings.HasPrefix(m.device, "/dev/") {
		return ""
	}
	name := filepath.Base(m.device)
	if target, err := os.Readlink(b.paths.inRoot(m.device)); err == nil { // /dev/mapper/data is ../dm-0
		name = filepath.Base(target)
	}
	if _, err := os.Stat(filepath.Join(b.paths.Sys, "class/block", name)); err != nil {
		return ""
	}
	return name
}

// disk is the whole disk of a partition; any other device is its own.
func (b *blockDevices) disk(name string) string {
	link := filepath.Join(b.paths.Sys, "class/block", name)
	if _, err := os.Stat(filepath.Join(link, "partition")); err != nil {
		return name
	}
	target, err := os.Readlink(link)
	if err != nil {
		return name
	}
	return filepath.Base(filepath.Dir(target))
}

// fsErrors is how many errors ext4 has found since the last fsck, and whether
// it counts them.
func (b *blockDevices) fsErrors(m mount) (float64, bool) {
	name := b.deviceOf(m)
	if name == "" || !strings.HasPrefix(m.fsType, "ext") {
		return 0, false
	}
	n, err := strconv.ParseUint(readLine(filepath.Join(b.paths.Sys, "fs/ext4", name, "errors_count")), 10, 64)
	return float64(n), err == nil
}

// readLine reads a small file of the kernel; empty when there is none.
func readLine(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return clip(string(content), 100)
}
