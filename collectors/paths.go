package collectors

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

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

// maxSymlinks is how many symbolic links the kernel follows in one path.
const maxSymlinks = 40

// follow resolves the symbolic links of a path of the node as the node does,
// whose absolute targets begin at Root, and returns another path of the node.
// Errors are of type *fs.PathError.
func (p Paths) follow(path string) (string, error) {
	resolved, links := "/", 0
	for rest := strings.Split(path, "/"); len(rest) > 0; {
		next := filepath.Join(resolved, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(p.inRoot(next))
		if err != nil {
			return "", err
		}
		if info.Mode().Type() != fs.ModeSymlink {
			resolved = next
			continue
		}
		if links++; links > maxSymlinks {
			return "", &fs.PathError{Op: "readlink", Path: path, Err: syscall.ELOOP}
		}
		target, err := os.Readlink(p.inRoot(next))
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(target) {
			resolved = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return resolved, nil
}

// maxNodeFile bounds configuration files and manifests, in bytes.
const maxNodeFile = 1 << 20

var (
	errNoRegularFile = errors.New("is not a regular file")
	errTooLarge      = errors.New("is too large")
)

// read returns the content of a regular file of the node that has at most
// limit bytes. It does not hang on a FIFO. Errors wrap errNoRegularFile or
// errTooLarge when it is no such file.
func (p Paths) read(path string, limit int64) ([]byte, error) {
	resolved, err := p.follow(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p.inRoot(resolved), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s %w", path, errNoRegularFile)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s %w: more than %s", path, errTooLarge, size(float64(limit)))
	}
	return content, nil
}
