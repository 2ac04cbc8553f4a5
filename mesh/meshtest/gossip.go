package meshtest

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// transport is an open gossip port: packets, and streams beside them.
type transport struct {
	host    *Host
	port    uint16
	packets chan *memberlist.Packet
	streams chan net.Conn
	*listener
	done chan struct{} // closed when nothing more is accepted
}

// maxPackets is how many packets wait to be read before more are lost.
const maxPackets = 4096

// Gossip implements mesh.Network.
func (h *Host) Gossip(address string) (memberlist.Transport, error) {
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	addr, err := h.bind(address)
	if err != nil {
		return nil, err
	}
	l, err := h.listen(addr)
	if err != nil {
		return nil, err
	}
	t := &transport{
		host: h, port: addr.Port(), listener: l, done: make(chan struct{}),
		packets: make(chan *memberlist.Packet, maxPackets), streams: make(chan net.Conn),
	}
	h.gossip[t.port] = t
	go t.accept()
	return t, nil
}

func (t *transport) accept() {
	defer close(t.done)
	for {
		c, err := t.Accept()
		if err != nil {
			return
		}
		select {
		case t.streams <- c:
		case <-t.closed:
			_ = c.Close()
			return
		}
	}
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if ip != "" {
		addr, err := netip.ParseAddr(ip)
		return addr.AsSlice(), port, err
	}
	return t.host.Addr().AsSlice(), int(t.port), nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, address string) (time.Time, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return time.Time{}, err
	}
	n := t.host.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := t.host.alive(); err != nil {
		return time.Time{}, err
	}
	n.sent.Packets++
	n.sent.PacketBytes += len(b)
	now, from := time.Now(), t.host.addr
	fault := n.faults[link{from, to.Addr()}]
	if fault.Cut || n.lost(fault) || t.host.condition == frozen || n.hosts[from] != t.host {
		return now, nil
	}
	packet := &memberlist.Packet{
		Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, t.port)),
	}
	if wait := n.late(fault); wait > 0 {
		time.AfterFunc(wait, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.deliver(packet, to)
		})
	} else {
		n.deliver(packet, to)
	}
	return now, nil
}

func (n *Network) deliver(p *memberlist.Packet, to netip.AddrPort) {
	h := n.hosts[to.Addr()]
	if h == nil || h.condition != up || h.gossip[to.Port()] == nil {
		return
	}
	p.Timestamp = time.Now()
	select {
	case h.gossip[to.Port()].packets <- p:
	default: // the buffer is full
	}
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return t.host.Dial(ctx, address)
}

// Shutdown implements memberlist.Transport.
func (t *transport) Shutdown() error {
	n := t.host.network
	n.mu.Lock()
	if t.host.gossip[t.port] == t {
		delete(t.host.gossip, t.port)
	}
	n.mu.Unlock()
	err := t.Close()
	<-t.done
	return err
}
