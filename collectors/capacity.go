package collectors

import (
	"context"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// capacityProbe asks how full file systems are. That may hang in the kernel,
// so it happens on a goroutine of its own, of which there is at most one.
type capacityProbe struct{ busy atomic.Bool }

// usage returns the ratio of the file system at path that is taken, and what
// is left for ordinary users in bytes. It is not known when the path is not to
// be seen from here, when the answer does not come before ctx ends, or while
// an earlier question has none.
func (p *capacityProbe) usage(ctx context.Context, path string) (full, available float64, known bool) {
	if !p.busy.CompareAndSwap(false, true) {
		return 0, 0, false
	}
	type answer struct {
		fs  unix.Statfs_t
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		var a answer
		a.err = unix.Statfs(path, &a.fs)
		p.busy.Store(false)
		answered <- a
	}()
	select {
	case a := <-answered:
		used := float64(a.fs.Blocks) - float64(a.fs.Bfree)
		total := used + float64(a.fs.Bavail)
		if a.err != nil || total <= 0 {
			return 0, 0, false
		}
		return used / total, float64(a.fs.Bavail) * float64(a.fs.Bsize), true
	case <-ctx.Done():
		return 0, 0, false
	}
}
