package mesh

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// giveUp makes the kernel break a connection on which what was sent has not
// been acknowledged for 10 s. Frames are not answered: without it, a host that
// has vanished would swallow them for a quarter of an hour.
func giveUp(_, _ string, c syscall.RawConn) error {
	var err error
	if controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 10_000)
	}); controlErr != nil {
		return controlErr
	}
	return err
}
