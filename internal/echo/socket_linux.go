package echo

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSpace holds all that the kernel tells of one packet.
const controlSpace = 256

// tune prepares a UDP socket: each packet comes with the time at which the
// kernel received it and the address it was sent to, and none leaves in
// fragments, whatever path MTU the kernel has learnt.
func tune(network, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		set := func(level, option, value int) {
			if err := unix.SetsockoptInt(int(fd), level, option, value); err != nil && failed == nil {
				failed = err
			}
		}
		set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE) // also on udp6, for IPv4 over it
		if strings.HasSuffix(network, "6") {
			set(unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
			set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
		// Without it the time at which we came to read has to do.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	if err != nil {
		return err
	}
	return failed
}

// routeMTU asks the kernel which MTU it has for the route of a connected
// socket.
func routeMTU(c syscall.RawConn, v6 bool) (mtu int, err error) {
	level, option := unix.IPPROTO_IP, unix.IP_MTU
	if v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	failed := c.Control(func(fd uintptr) { mtu, err = unix.GetsockoptInt(int(fd), level, option) })
	return mtu, errors.Join(failed, err)
}

// received reads what the kernel tells of a packet: how long before now it
// came, zero if unknown, and the address it was sent to, invalid if unknown.
func received(control []byte, now time.Time) (waited time.Duration, to netip.Addr) {
	for len(control) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return waited, to
		}
		switch {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS:
			waited = max(0, time.Duration(now.UnixNano()-nanoseconds(data)))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			to = netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			to = netip.AddrFrom16([16]byte(data[:16])) // ipi6_addr; an IPv4 one is mapped
		}
		control = rest
	}
	return waited, to
}

// nanoseconds reads a struct timespec, whose fields are as wide as a word.
func nanoseconds(timespec []byte) int64 {
	if len(timespec) >= 16 {
		return int64(binary.NativeEndian.Uint64(timespec))*int64(time.Second) + int64(binary.NativeEndian.Uint64(timespec[8:]))
	}
	if len(timespec) >= 8 {
		return int64(int32(binary.NativeEndian.Uint32(timespec)))*int64(time.Second) + int64(int32(binary.NativeEndian.Uint32(timespec[4:])))
	}
	return 0
}

// sendFrom writes into control what makes a packet leave from the address
// from, and returns the part written. A node has several addresses, and an
// answer must come from the one that was asked: another one may lie on another
// network, and nobody waits for it.
func sendFrom(control []byte, from netip.Addr) []byte {
	if !from.IsValid() {
		return nil
	}
	level, kind, size := unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo
	if from.Is6() {
		level, kind, size = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo
	}
	control = control[:unix.CmsgSpace(size)]
	clear(control) // no interface: the routes decide
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = int32(level), int32(kind)
	h.SetLen(unix.CmsgLen(size))
	data := control[unix.CmsgLen(0):]
	if from.Is6() {
		a := from.As16()
		copy(data, a[:])
	} else {
		a := from.As4()
		copy(data[4:], a[:])
	}
	return control
}
