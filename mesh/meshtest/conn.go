package meshtest

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// conn is one end of a stream.
type conn struct {
	host          *Host
	peer          *conn
	local, remote netip.AddrPort

	// All below is guarded by host.network.mu.
	changed  *sync.Cond
	incoming []segment // on their way here, or here and not read yet
	held     int       // bytes in incoming
	finished bool      // the peer sends nothing more after incoming
	broken   bool      // the peer has told us that it is gone
	closed   bool      // by us
	read     deadline
	write    deadline

	unheard time.Time // since when the peer has not acknowledged what was sent; zero: it has
}

// segment is what one Write sent.
type segment struct {
	bytes []byte
	due   time.Time // not here before
}

// window is how many bytes may be on their way before a writer has to wait.
const window = 256 << 10

// giveUp is when the kernel breaks a stream on which nothing that was sent is
// acknowledged, as mesh asks it to.
const giveUp = 10 * time.Second

// resend is how long a stream waits before it repeats what was lost, doubled
// each time.
const resend = 200 * time.Millisecond

func (n *Network) pair(a *Host, from netip.AddrPort, b *Host, to netip.AddrPort) (*conn, *conn) {
	ours := &conn{host: a, local: from, remote: to, changed: sync.NewCond(&n.mu)}
	theirs := &conn{host: b, local: to, remote: from, changed: sync.NewCond(&n.mu), peer: ours}
	ours.peer = theirs
	n.conns[ours], n.conns[theirs] = true, true
	return ours, theirs
}

// arrives reports whether what the peer sends reaches us now.
func (c *conn) arrives() bool {
	n := c.host.network
	return n.hosts[c.local.Addr()] == c.host && c.host.condition != off && n.hosts[c.remote.Addr()] == c.peer.host &&
		!n.faults[link{c.remote.Addr(), c.local.Addr()}].Cut &&
		c.peer.host.condition != frozen && c.peer.host.condition != off
}

// reaches reports whether a word and its answer pass between us and h.
func (c *conn) reaches(h *Host) bool {
	n := c.host.network
	return n.hosts[c.local.Addr()] == c.host && n.hosts[c.remote.Addr()] == h && h.condition != off &&
		!n.faults[link{c.remote.Addr(), c.local.Addr()}].Cut && !n.faults[link{c.local.Addr(), c.remote.Addr()}].Cut
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n := c.host.network
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.read.passed():
			return 0, os.ErrDeadlineExceeded
		case c.host.condition == frozen:
		case len(c.incoming) > 0 && c.arrives():
			if wait := time.Until(c.incoming[0].due); wait > 0 {
				time.AfterFunc(wait, c.look)
				break
			}
			return c.take(b), nil
		case c.broken:
			return 0, syscall.ECONNRESET
		case c.finished && len(c.incoming) == 0 && c.arrives():
			return 0, io.EOF
		}
		c.changed.Wait()
	}
}

func (c *conn) take(b []byte) int {
	first := &c.incoming[0]
	k := copy(b, first.bytes)
	if first.bytes = first.bytes[k:]; len(first.bytes) == 0 {
		c.incoming = c.incoming[1:]
	}
	c.held -= k
	c.peer.changed.Broadcast() // it may wait for room
	return k
}

func (c *conn) look() {
	c.host.network.mu.Lock()
	defer c.host.network.mu.Unlock()
	c.changed.Broadcast()
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	n := c.host.network
	n.mu.Lock()
	defer n.mu.Unlock()
	for written := 0; ; {
		switch {
		case c.closed:
			return written, net.ErrClosed
		case c.write.passed():
			return written, os.ErrDeadlineExceeded
		case c.broken || c.peer.closed && c.peer.arrives():
			return written, syscall.EPIPE
		case written == len(b):
			// Another program, or another machine, says that it knows of no
			// such stream. Whoever wrote learns of it with the next call.
			if now := n.hosts[c.remote.Addr()]; now != c.peer.host && now != nil && c.reaches(now) {
				c.broken = true
				c.changed.Broadcast()
			}
			return written, nil
		case c.peer.held < window:
			k := min(len(b)-written, window-c.peer.held)
			c.send(b[written : written+k])
			written += k
			continue
		}
		c.changed.Wait()
	}
}

func (c *conn) send(b []byte) {
	n := c.host.network
	fault := n.faults[link{c.local.Addr(), c.remote.Addr()}]
	due := time.Now().Add(n.late(fault))
	for again := resend; n.lost(fault) && again < 10*time.Second; again *= 2 {
		due = due.Add(again)
	}
	p := c.peer
	if k := len(p.incoming); k > 0 && p.incoming[k-1].due.After(due) {
		due = p.incoming[k-1].due // in order
	}
	if c.unheard.IsZero() && !c.reaches(p.host) {
		c.unheard = time.Now()
		since := c.unheard
		time.AfterFunc(giveUp, func() { c.abandon(since) })
	}
	p.incoming = append(p.incoming, segment{append([]byte(nil), b...), due})
	p.held += len(b)
	n.sent.StreamBytes += len(b)
	p.changed.Broadcast()
}

// abandon breaks the stream if nothing has been acknowledged since then.
func (c *conn) abandon(since time.Time) {
	c.host.network.mu.Lock()
	defer c.host.network.mu.Unlock()
	if c.unheard != since || c.reaches(c.peer.host) {
		return
	}
	c.broken = true
	c.peer.incoming, c.peer.held, c.peer.finished = nil, 0, false
	c.changed.Broadcast()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.host.network.mu.Lock()
	defer c.host.network.mu.Unlock()
	c.close()
	return nil
}

func (c *conn) close() {
	if c.closed {
		return
	}
	c.closed = true
	c.incoming, c.held = nil, 0
	c.peer.finished = true
	c.read.stop()
	c.write.stop()
	delete(c.host.network.conns, c)
	c.changed.Broadcast()
	c.peer.changed.Broadcast()
}

// reset ends the stream as the end of the program does; the peer learns of it
// if told.
func (c *conn) reset(told bool) {
	if told && c.peer.arrives() {
		c.peer.broken = true
	}
	c.close()
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.read, &c.write) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.read) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.write) }

func (c *conn) setDeadlines(t time.Time, deadlines ...*deadline) error {
	c.host.network.mu.Lock()
	defer c.host.network.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	for _, d := range deadlines {
		d.set(t, c.look)
	}
	c.changed.Broadcast()
	return nil
}

// deadline wakes up whoever waits when it passes.
type deadline struct {
	at    time.Time // zero: never
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) set(t time.Time, look func()) {
	d.stop()
	d.at = t
	if !t.IsZero() && !d.passed() {
		d.timer = time.AfterFunc(time.Until(t), look)
	}
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}
