package exchange

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// conn is a connection whose two ends have told and proved their names.
type conn struct {
	net.Conn
	reader *bufio.Reader
	peer   string
	used   time.Time // when it was last put back

	renewal int         // of the Exchange, when it was made
	expiry  *time.Timer // ends it with the peer's certificate; nil: that does not end
}

// Close ends the connection.
func (c *conn) Close() error {
	if c.expiry != nil {
		c.expiry.Stop()
	}
	return c.Conn.Close()
}

func newConn(c net.Conn) *conn { return &conn{Conn: c, reader: bufio.NewReaderSize(c, 16<<10)} }

func (c *conn) read() (message, error) { return readMessage(c.reader) }

// ask sends a request and reads the answer, which is of one of the kinds
// wanted, all within ctx.
func (c *conn) ask(ctx context.Context, request message, want ...kind) (message, error) {
	if err := c.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return message{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := writeMessage(c, request); err != nil {
		return message{}, fmt.Errorf("asking %s: %w", c.peer, err)
	}
	answer, err := c.read()
	if err != nil {
		return message{}, fmt.Errorf("reading the answer of %s: %w", c.peer, err)
	}
	if slices.Contains(want, answer.kind) {
		return answer, nil
	}
	if answer.kind == kindRefused {
		return message{}, fmt.Errorf("%s %w: %.200q", c.peer, ErrRefused, answer.reason)
	}
	return message{}, unexpected(answer.kind)
}

func unexpected(k kind) error {
	return &state.Refusal{Reason: ReasonUnexpected, Hostile: true, Err: fmt.Errorf("a message of kind %d out of turn", k)}
}

// hello is what either end says first.
func (x *Exchange) hello() message {
	return message{kind: kindHello, cluster: x.cfg.Cluster, node: x.cfg.Node}
}

// greet checks a peer's hello against the certificate it came with, and lets
// the connection last no longer than that.
func (x *Exchange) greet(c *conn, m message, tlsState tls.ConnectionState) error {
	if m.kind != kindHello {
		return unexpected(m.kind)
	}
	if m.cluster != x.cfg.Cluster {
		return &state.Refusal{Reason: ReasonCluster, Err: fmt.Errorf("belongs to cluster %.100q, not to %q", m.cluster, x.cfg.Cluster)}
	}
	if m.node == x.cfg.Node {
		return &state.Refusal{Reason: state.ReasonOwnName, Err: fmt.Errorf("calls itself %s, as this node does", m.node)}
	}
	until, err := x.cfg.Authenticate(m.node, tlsState.PeerCertificates)
	if err != nil {
		return state.RefusalFor(state.ReasonIdentity, err)
	}
	if !until.IsZero() {
		c.expiry = time.AfterFunc(time.Until(until), func() {
			x.refuse(m.node, state.ReasonExpired, fmt.Errorf("the certificate of %s has ended on %s", m.node, until.Format(time.RFC3339)))
			_ = c.Conn.Close()
		})
	}
	return nil
}

// counted tells the observer of every byte on the wire, TLS included.
type counted struct {
	net.Conn
	observer Observer
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.observer.Transferred(n, 0)
	return n, err
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.observer.Transferred(0, n)
	return n, err
}
