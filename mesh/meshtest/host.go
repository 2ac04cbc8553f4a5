package meshtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Host is one life of a machine on the network, from its start to its end.
// It is a mesh.Network for the agent that runs on it.
type Host struct {
	network *Network
	addr    netip.Addr // guarded by network.mu, as is all below

	condition condition
	listeners map[uint16]*listener
	gossip    map[uint16]*transport
	port      uint16 // the last one given out
}

type condition int

const (
	up      condition = iota
	frozen            // the kernel answers, the program does not
	crashed           // the kernel answers that nobody is there
	off               // nothing answers
)

// Host starts a machine at addr. Whoever had that address is off the network.
func (n *Network) Host(addr netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &Host{network: n, addr: addr, listeners: map[uint16]*listener{}, gossip: map[uint16]*transport{}, port: 40000}
	if old := n.hosts[addr]; old != nil {
		old.end(off)
	}
	n.hosts[addr] = h
	return h
}

// Crash ends the program on the host: its ports close, its peers are told.
func (h *Host) Crash() { h.become(crashed) }

// PowerOff ends the host: nobody is told anything.
func (h *Host) PowerOff() { h.become(off) }

// Freeze stops the program as a debugger or a dead disk does: the kernel goes
// on taking connections for it, but nothing is read or said.
func (h *Host) Freeze() { h.become(frozen) }

// Thaw lets a frozen program go on.
func (h *Host) Thaw() { h.become(up) }

func (h *Host) become(c condition) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	switch {
	case h.condition == crashed || h.condition == off: // for good
	case c == crashed || c == off:
		h.end(c)
	default:
		h.condition = c
	}
	h.network.wake()
}

// end closes all that the program had open.
func (h *Host) end(c condition) {
	h.condition = c
	for _, l := range h.listeners {
		l.close()
	}
	for conn := range h.network.conns {
		if conn.host == h {
			conn.reset(c == crashed)
		}
	}
}

// Move gives the host another address. Streams from and to the old one hang.
func (h *Host) Move(addr netip.Addr) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	delete(h.network.hosts, h.addr)
	h.addr = addr
	h.network.hosts[addr] = h
	h.network.wake()
}

// Addr is the host's address.
func (h *Host) Addr() netip.Addr {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	return h.addr
}

var errEnded = errors.New("the host has ended")

// alive returns an error once the program has ended: it may still be winding
// down, but nothing it does has an effect.
func (h *Host) alive() error {
	if h.condition == crashed || h.condition == off {
		return errEnded
	}
	return nil
}

// bind parses host:port of a port to be opened, and picks one for port 0.
func (h *Host) bind(address string) (netip.AddrPort, error) {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := net.LookupPort("tcp", text)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if port == 0 {
		h.port++
		port = int(h.port)
	}
	return netip.AddrPortFrom(h.addr, uint16(port)), h.alive() //nolint:gosec // LookupPort gives no more than 65535
}

// Listen implements mesh.Network.
func (h *Host) Listen(address string) (net.Listener, error) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	addr, err := h.bind(address)
	if err != nil {
		return nil, err
	}
	return h.listen(addr)
}

func (h *Host) listen(addr netip.AddrPort) (*listener, error) {
	if h.listeners[addr.Port()] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: syscall.EADDRINUSE}
	}
	l := &listener{host: h, addr: addr, backlog: make(chan *conn, maxBacklog), closed: make(chan struct{})}
	h.listeners[addr.Port()] = l
	return l, nil
}

// Dial implements mesh.Network. While nothing comes back it tries again, as a
// kernel does, until ctx ends.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("dialing %s: %w", address, err)
	}
	for again := time.Second; ; again *= 2 {
		c, wait, err := h.connect(to)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
		}
		if c == nil {
			wait = again
		}
		if wait > 0 {
			retry := time.NewTimer(wait)
			select {
			case <-retry.C:
			case <-ctx.Done():
				retry.Stop()
				if c != nil {
					_ = c.Close()
				}
				err := ctx.Err()
				if errors.Is(err, context.DeadlineExceeded) {
					err = os.ErrDeadlineExceeded
				}
				return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
			}
		}
		if c != nil {
			return c, nil
		}
	}
}

// connect tries once. Neither a stream nor an error means that no answer came.
func (h *Host) connect(to netip.AddrPort) (*conn, time.Duration, error) {
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := h.alive(); err != nil {
		return nil, 0, err
	}
	n.sent.Dials++
	there, back := n.faults[link{h.addr, to.Addr()}], n.faults[link{to.Addr(), h.addr}]
	peer := n.hosts[to.Addr()]
	if there.Cut || back.Cut || n.lost(there) || n.lost(back) || n.hosts[h.addr] != h ||
		peer == nil || peer.condition == off || h.condition == frozen {
		return nil, 0, nil
	}
	l := peer.listeners[to.Port()]
	if l == nil {
		return nil, 0, syscall.ECONNREFUSED
	}
	h.port++
	ours, theirs := n.pair(h, netip.AddrPortFrom(h.addr, h.port), peer, to)
	select {
	case l.backlog <- theirs:
	default:
		ours.close()
		theirs.close()
		return nil, 0, syscall.ECONNREFUSED
	}
	return ours, n.late(there) + n.late(back), nil
}
