package collectors

import (
	"path/filepath"
	"strings"

	"github.com/prometheus/procfs"
)

// mount is the file system a path lies on, as mountinfo has it.
type mount struct {
	point    string // "/var/lib/etcd"
	device   string // "/dev/sdb1"; a name such as "tmpfs" when there is none
	number   string // of the device, "8:1"; "0:29" when there is none
	fsType   string
	readOnly bool // the mount, or the file system below it
	// damaged: the file system was turned read-only by itself, after an error.
	damaged bool
}

// String words the mount for a reason.
func (m mount) String() string { return m.point + " (device " + m.device + ", " + m.fsType + ")" }

// mounts reads the mount table that goes with the paths: the node's own, or
// when its root is mounted elsewhere, that of its first process.
func (p Paths) mounts() ([]*procfs.MountInfo, error) {
	proc, err := procfs.NewFS(p.Proc)
	if err != nil {
		return nil, err
	}
	if filepath.Clean(p.Root) == "/" {
		return proc.GetMounts()
	}
	return proc.GetProcMounts(1)
}

// mountOf finds the mount that path lies on, without touching the path:
// that could hang. The last of several mounts on one point hides the others.
func mountOf(mounts []*procfs.MountInfo, path string) mount {
	path = filepath.Clean(path)
	found := mount{point: path, device: "unknown", fsType: "unknown"}
	longest := -1
	for _, m := range mounts {
		point := unescapeMount(m.MountPoint)
		if len(point) < longest || !within(point, path) {
			continue
		}
		longest = len(point)
		_, readOnlyMount := m.Options["ro"]
		_, readOnlySystem := m.SuperOptions["ro"]
		found = mount{
			point:    clip(point, 200),
			device:   clip(unescapeMount(m.Source), 200),
			number:   m.MajorMinorVer,
			fsType:   clip(m.FSType, 40),
			readOnly: readOnlyMount || readOnlySystem,
			damaged:  readOnlySystem && !readOnlyMount && turnsReadOnly[m.FSType],
		}
		// From Linux 6.15 on, ext4 says it by these alone, and is "rw" to
		// everybody who asks.
		for _, word := range []string{"emergency_ro", "shutdown"} {
			if _, ok := m.SuperOptions[word]; ok {
				found.readOnly, found.damaged = true, true
			}
		}
	}
	return found
}

// turnsReadOnly has the file systems that turn read-only after an error, below
// a mount that stays as it was. Others are made read-only and never change.
var turnsReadOnly = map[string]bool{"ext2": true, "ext3": true, "ext4": true, "btrfs": true, "f2fs": true, "vfat": true}

func within(dir, path string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// unescapeMount undoes the octal escapes of mountinfo.
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
