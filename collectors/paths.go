package collectors

import "path/filepath"

// Paths is where the node's own trees are mounted: in a container they are
// elsewhere.
type Paths struct {
	Proc string // the kernel's procfs: /proc
	Sys  string // the kernel's sysfs: /sys
	Root string // the node's root file system: /
}

// DefaultPaths holds outside containers.
func DefaultPaths() Paths { return Paths{Proc: "/proc", Sys: "/sys", Root: "/"} }

// inRoot is where a path of the node is found from here.
func (p Paths) inRoot(path string) string { return filepath.Join(p.Root, path) }
