package collectors

import (
	"path/filepath"
	"strings"

	"github.com/prometheus/procfs"
)

// mount is the file system a path lies on, as /proc/self/mountinfo has it.
type mount struct {
	point    string // "/var/lib/etcd"
	device   string // "/dev/sdb1"; a name such as "tmpfs" when there is none
	fsType   string
	readOnly bool // of the mount or of the file system below it
}

// String words the mount for a reason.
func (m mount) String() string { return m.point + " (device " + m.device + ", " + m.fsType + ")" }

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
			fsType:   clip(m.FSType, 40),
			readOnly: readOnlyMount || readOnlySystem,
		}
	}
	return found
}

func within(dir, path string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// unescapeMount undoes the octal escapes of mountinfo.
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
