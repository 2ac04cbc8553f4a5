package netsim

import (
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// TAP is a network device whose wire ends in this program: what the kernel
// sends through it is read, what is written the kernel receives.
type TAP struct {
	*os.File
	unplugged *atomic.Bool
}

// NewTAP makes the device name in the network namespace of the calling thread.
// It is down at first, has a carrier, and goes when it is closed.
func NewTAP(name string) (TAP, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return TAP{}, fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return TAP{}, fmt.Errorf("making the TAP device %s: %w", name, err)
	}
	// Only now: NewFile asks whether the file can be waited for, and it cannot
	// while it is no device yet.
	return TAP{os.NewFile(uintptr(fd), "/dev/net/tun"), new(atomic.Bool)}, nil
}

// Read gives the next frame that the kernel sends while the cable is plugged in.
func (t TAP) Read(b []byte) (int, error) {
	for {
		n, err := t.File.Read(b)
		if err != nil || !t.unplugged.Load() {
			return n, err
		}
	}
}

// Write lets the kernel receive a frame.
func (t TAP) Write(b []byte) (int, error) {
	if t.unplugged.Load() {
		return len(b), nil
	}
	return t.File.Write(b)
}

// Carrier plugs the device's cable in or pulls it.
func (t TAP) Carrier(plugged bool) error {
	t.unplugged.Store(!plugged) // the kernel itself goes on to take what comes
	raw, err := t.SyscallConn()
	if err != nil {
		return fmt.Errorf("setting a carrier: %w", err)
	}
	value := 0
	if plugged {
		value = 1
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetPointerInt(int(fd), unix.TUNSETCARRIER, value)
	}); err != nil {
		return fmt.Errorf("setting a carrier: %w", err)
	}
	if failed != nil {
		return fmt.Errorf("setting a carrier: %w", failed)
	}
	return nil
}
