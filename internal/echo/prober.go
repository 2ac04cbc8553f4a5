package echo

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Prober asks the responders of other nodes. It holds no socket between
// calls, and may be used by several goroutines.
type Prober struct {
	Node string // tells the asked who asks
	Keys Keys   // those of their Config
}

// Headers is the size in bytes of the IP and UDP headers before each packet
// to addr.
func Headers(addr netip.Addr) int {
	if addr.Unmap().Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// Smallest is the size in bytes of the smallest request to addr, as an IP
// packet with its headers.
func Smallest(addr netip.Addr) int { return Headers(addr) + smallest }

// padding fills up large packets. It is random, so that no tunnel that
// compresses carries more than it could of real traffic.
var padding = func() []byte {
	b := make([]byte, largest)
	_, _ = rand.Read(b) // never fails
	return b
}()

// socket is a UDP socket connected to one responder.
type socket struct {
	*net.UDPConn
	ctx     context.Context // its end wakes up whoever reads
	stop    func() bool
	name    []byte
	signer  *signer
	packet  []byte // the answer read last
	control []byte
}

func (p Prober) open(ctx context.Context, addr netip.AddrPort) (*socket, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	network := "udp6"
	if addr.Addr().Is4() {
		network = "udp4"
	}
	c, err := (&net.Dialer{Control: tune}).DialContext(ctx, network, addr.String())
	if err != nil {
		return nil, err
	}
	s := &socket{
		UDPConn: c.(*net.UDPConn), ctx: ctx, name: []byte(p.Node), signer: newSigner(p.Keys.all()[0], packets),
		packet: make([]byte, smallest), control: make([]byte, controlSpace),
	}
	s.stop = context.AfterFunc(ctx, func() { _ = s.SetReadDeadline(time.Unix(1, 0)) })
	return s, nil
}

func (s *socket) close() {
	s.stop()
	_ = s.Close() // nothing is lost that was waited for
}

// newSession returns a number that nobody can guess, so that nobody who does
// not see the requests can send answers, with or without a key.
func newSession() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

// request writes a request into packet, whose length is its size.
func (s *socket) request(packet []byte, k kind, session uint64, seq int) {
	header{kind: k, seq: uint16(seq), session: session, name: s.name}.put(packet)
	s.signer.sign(packet)
}

// send sends packet and returns when it did.
func (s *socket) send(packet []byte) (time.Time, error) {
	began := time.Now()
	_, err := s.Write(packet)
	if err != nil && fromNetwork(err) {
		// What the kernel tells here is about an earlier packet, and this one
		// has not been sent.
		began = time.Now()
		if _, again := s.Write(packet); again != nil {
			err = again
		}
	}
	return began, err
}

// reply is an answer, and when it came.
type reply struct {
	header
	at     time.Time     // when we read it
	waited time.Duration // how long it had lain in the socket
	size   int
}

// receive waits until an answer of the session comes, the time until is
// reached (zero: never), or ctx ends. What is none of ours is not seen.
func (s *socket) receive(session uint64, until time.Time) (reply, error) {
	if err := s.SetReadDeadline(until); err != nil {
		return reply{}, err
	}
	for {
		if err := s.ctx.Err(); err != nil { // also when it ended before the deadline was set
			return reply{}, err
		}
		n, nc, _, _, err := s.ReadMsgUDPAddrPort(s.packet, s.control)
		r := reply{at: time.Now(), size: n}
		if err != nil {
			if s.ctx.Err() != nil {
				err = s.ctx.Err()
			}
			return reply{}, err
		}
		var ok bool
		if r.header, ok = parse(s.packet[:n]); ok && r.session == session && (r.kind == answered || r.kind == counted) && s.signer.signed(s.packet[:n]) {
			r.waited, _ = received(s.control[:nc], r.at)
			return r, nil
		}
	}
}

// fromNetwork tells whether err came back from the network for a packet that
// was sent before, as ICMP does.
func fromNetwork(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EMSGSIZE, syscall.EPROTO, syscall.EACCES} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// deadline tells whether err says that the time given to receive is up.
func deadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
