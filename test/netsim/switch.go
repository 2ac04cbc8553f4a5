// Package netsim is a network for tests: hosts made of network namespaces, with
// an overlay if wanted, plugged into a switch in user space that loses, delays
// and drops frames by direction, where the kernel at hand has no netem. It
// stands outside the line of data: only tests import it.
package netsim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// maxFrame holds a frame of the largest MTU that a TAP device takes.
const maxFrame = 64 << 10

// ethernetHeader is the length of two addresses and the EtherType.
const ethernetHeader = 14

// Switch passes Ethernet frames between its ports, which are numbered from 1.
// It learns nothing: a port's hardware address is MAC of its number. Its
// methods may be called from several goroutines.
type Switch struct {
	ports   []io.ReadWriteCloser
	readers sync.WaitGroup

	mu    sync.Mutex // guards links and random
	links [][]Link   // by sending port, then by receiving one
	// random has a fixed seed: what it gives depends on the order of the
	// frames alone.
	random *rand.Rand
}

// MAC is the hardware address of the device behind port i.
func MAC(i int) net.HardwareAddr {
	mac := net.HardwareAddr{0x02, 0x67, 0x76, 0, 0, 0}
	binary.BigEndian.PutUint16(mac[4:], uint16(i))
	return mac
}

// NewSwitch starts to pass frames between ports: each Read is a frame that the
// device behind it sent, each Write one that it gets. Close ends it and closes
// the ports.
func NewSwitch(ports ...io.ReadWriteCloser) *Switch {
	s := &Switch{ports: ports, links: make([][]Link, len(ports)), random: rand.New(rand.NewPCG(1, 2))}
	for i := range ports {
		s.links[i] = make([]Link, len(ports))
	}
	for i := range ports {
		s.readers.Go(func() { s.receive(i) })
	}
	return s
}

// Set changes what happens to frames from one port to another. 0 stands for
// every port. Frames that are under way are not called back.
func (s *Switch) Set(from, to int, l Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.links {
		for j := range s.links[i] {
			if (from == 0 || from == i+1) && (to == 0 || to == j+1) {
				s.links[i][j] = l
			}
		}
	}
}

// Close closes all ports and waits until no more frame is read.
func (s *Switch) Close() error {
	var errs []error
	for i, p := range s.ports {
		if err := p.Close(); err != nil {
			errs = append(errs, fmt.Errorf("closing port %d: %w", i+1, err))
		}
	}
	s.readers.Wait()
	return errors.Join(errs...)
}

// receive passes on what the device behind a port sends, until it is closed.
func (s *Switch) receive(from int) {
	buffer := make([]byte, maxFrame)
	for {
		n, err := s.ports[from].Read(buffer)
		if err != nil {
			return
		}
		if n >= ethernetHeader {
			s.forward(from, buffer[:n])
		}
	}
}

// forward gives the frame to the port it is addressed to, and to all when it
// is addressed to none.
func (s *Switch) forward(from int, frame []byte) {
	only := -1
	if to := net.HardwareAddr(frame[:6]); to[0]&1 == 0 { // not a multicast
		only = int(binary.BigEndian.Uint16(to[4:])) - 1
	}
	for to := range s.ports {
		if to == from || only >= 0 && to != only {
			continue
		}
		delay, passes := s.fate(from, to, frame)
		switch {
		case !passes:
		case delay <= 0:
			s.deliver(to, frame)
		default:
			late := append([]byte(nil), frame...)
			time.AfterFunc(delay, func() { s.deliver(to, late) })
		}
	}
}

// fate tells whether a frame arrives, and how late.
func (s *Switch) fate(from, to int, frame []byte) (delay time.Duration, passes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.links[from][to]
	switch {
	case l.Cut,
		l.Drop != nil && l.Drop(frame),
		l.MTU > 0 && len(frame)-ethernetHeader > l.MTU,
		l.Loss > 0 && s.random.Float64() < l.Loss:
		return 0, false
	}
	delay = l.Delay
	if l.Jitter > 0 {
		delay += time.Duration((2*s.random.Float64() - 1) * float64(l.Jitter))
	}
	return delay, true
}

// deliver drops the frame when the device behind the port is down or gone, as
// a wire does.
func (s *Switch) deliver(to int, frame []byte) { _, _ = s.ports[to].Write(frame) }
