package exchange

import (
	"context"
	"net"
	"sync"
	"time"
)

// pipe is a connection between two nodes that know each other's names, for
// whatever the layers above have to say to each other.
type pipe struct {
	*conn
	once   sync.Once
	closed chan struct{}
}

func newPipe(c *conn) *pipe { return &pipe{conn: c, closed: make(chan struct{})} }

// Read implements net.Conn.
func (p *pipe) Read(b []byte) (int, error) { return p.reader.Read(b) }

// Close implements net.Conn.
func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.conn.Close()
}

// Pipe opens a connection to the peer called name at address, which the peer's
// Pipes accepts. Both ends have proved their names.
func (x *Exchange) Pipe(ctx context.Context, name, address string) (net.Conn, error) {
	c, err := x.dial(ctx, name, address)
	if err != nil {
		return nil, err
	}
	if _, err := c.ask(ctx, message{kind: kindPipe}, kindDone); err != nil {
		_ = c.Close()
		return nil, err
	}
	return newPipe(c), c.SetDeadline(time.Time{})
}

// Pipes listens for what peers open by Pipe. Call it once, before Serve.
func (x *Exchange) Pipes() net.Listener {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pipes = make(chan net.Conn)
	return &pipes{conns: x.pipes, closed: make(chan struct{})}
}

// pipes is the listener of an Exchange.
type pipes struct {
	conns  <-chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. What was accepted stays open.
func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *pipes) Addr() net.Addr { return pipeAddr{} }

// pipeAddr is the address of a listener that has none of its own.
type pipeAddr struct{}

// Network implements net.Addr.
func (pipeAddr) Network() string { return "mesh" }

// String implements net.Addr.
func (pipeAddr) String() string { return "mesh" }

const noPipes = "pipes are not served here"

// pipe hands c on and waits until that is done with it.
func (x *Exchange) pipe(ctx context.Context, c *conn) {
	x.mu.Lock()
	pipes := x.pipes
	x.mu.Unlock()
	_ = c.SetDeadline(time.Time{})
	p := newPipe(c)
	offer, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	// Before it is handed on nobody else may write to it; the peer says
	// nothing until it has read this.
	if pipes == nil {
		_ = writeMessage(c, message{kind: kindRefused, reason: noPipes})
		return
	}
	if err := writeMessage(c, message{kind: kindDone}); err != nil {
		return
	}
	select {
	case pipes <- p:
	case <-offer.Done():
		return
	}
	select {
	case <-p.closed:
	case <-ctx.Done():
	}
}
