package meshtest

import (
	"net"
	"net/netip"
)

// maxBacklog is how many streams wait to be accepted.
const maxBacklog = 256

// listener is an open port.
type listener struct {
	host    *Host
	addr    netip.AddrPort
	backlog chan *conn
	closed  chan struct{}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.host.network.mu.Lock()
	defer l.host.network.mu.Unlock()
	l.close()
	return nil
}

func (l *listener) close() {
	if l.host.listeners[l.addr.Port()] != l {
		return
	}
	delete(l.host.listeners, l.addr.Port())
	close(l.closed)
	for len(l.backlog) > 0 {
		c := <-l.backlog
		c.reset(l.host.condition != off)
	}
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }
