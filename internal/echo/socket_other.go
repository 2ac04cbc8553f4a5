//go:build !linux

package echo

import (
	"errors"
	"net/netip"
	"syscall"
	"time"
)

const controlSpace = 1

// Elsewhere than on Linux the kernel is asked for nothing: for developers.
func tune(_, _ string, _ syscall.RawConn) error { return nil }

func routeMTU(syscall.RawConn, bool) (int, error) { return 0, errors.ErrUnsupported }

func received([]byte, time.Time) (time.Duration, netip.Addr) { return 0, netip.Addr{} }

func sendFrom([]byte, netip.Addr) []byte { return nil }
