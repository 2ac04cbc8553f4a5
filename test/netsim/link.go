package netsim

import (
	"encoding/binary"
	"time"
)

// Link is what happens to the frames from one port of a Switch to another. The
// zero Link passes all of them at once.
type Link struct {
	Delay  time.Duration
	Jitter time.Duration // a frame comes up to that much earlier or later than Delay; at most Delay
	Loss   float64       // ratio of the frames that are lost, by chance
	MTU    int           // larger packets vanish without a word; 0: none does
	Cut    bool          // nothing passes
	// Drop tells which frames vanish besides; nil: none.
	Drop func(frame []byte) bool
}

// UDPTo makes a Link.Drop of UDP datagrams over IPv4 to a port.
func UDPTo(port uint16) func([]byte) bool {
	return func(frame []byte) bool { return ipv4Port(frame, 17) == int(port) }
}

// TCPTo makes a Link.Drop of TCP segments over IPv4 to a port.
func TCPTo(port uint16) func([]byte) bool {
	return func(frame []byte) bool { return ipv4Port(frame, 6) == int(port) }
}

// ipv4Port is the destination port of a frame of that IP protocol, else -1. A
// fragment other than the first has none.
func ipv4Port(frame []byte, protocol byte) int {
	const etherTypeIPv4 = 0x0800
	if len(frame) < ethernetHeader+20 || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv4 {
		return -1
	}
	packet := frame[ethernetHeader:]
	header := int(packet[0]&0x0f) * 4
	fragment := binary.BigEndian.Uint16(packet[6:]) & 0x1fff
	if packet[9] != protocol || fragment != 0 || len(packet) < header+4 {
		return -1
	}
	return int(binary.BigEndian.Uint16(packet[header+2:]))
}
