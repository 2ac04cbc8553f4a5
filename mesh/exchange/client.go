package exchange

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// Sync brings this node and the peer called name at address up to each
// other's knowledge, as far as one round carries. It uses the connection of
// the fast path if there is one.
func (x *Exchange) Sync(ctx context.Context, name, address string) error {
	if s := x.stream(name); s != nil {
		if tried, err := s.sync(ctx, address); tried {
			return err
		}
	}
	return x.with(ctx, name, address, func(ctx context.Context, c *conn) error { return x.sync(ctx, name, c) })
}

// with runs a round, and reports why it failed.
func (x *Exchange) with(ctx context.Context, name, address string, round func(context.Context, *conn) error) error {
	reached, err := x.over(ctx, name, address, round)
	if reached {
		x.report(name, err)
	}
	return err
}

// over runs a round over a connection that is open already, or a new one. It
// is false if there is none: what dial refuses it has reported.
func (x *Exchange) over(ctx context.Context, name, address string, round func(context.Context, *conn) error) (reached bool, _ error) {
	c, reused, err := x.take(ctx, name, address)
	if err != nil {
		return false, err
	}
	err = round(ctx, c)
	if err != nil && reused && ctx.Err() == nil && !refused(err) {
		// The peer has closed an idle connection, or was restarted.
		_ = c.Close()
		if c, err = x.dial(ctx, name, address); err != nil {
			return false, err
		}
		err = round(ctx, c)
	}
	if err != nil {
		_ = c.Close()
		return true, err
	}
	x.putBack(c)
	return true, nil
}

func refused(err error) bool {
	var refusal *state.Refusal
	return errors.Is(err, errReported) || errors.As(err, &refusal)
}

// asker sends a request and reads the answer, which is of one of the kinds
// wanted.
type asker interface {
	ask(ctx context.Context, request message, want ...kind) (message, error)
}

func (x *Exchange) sync(ctx context.Context, peer string, c asker) error {
	store := x.cfg.Store
	places := store.Places()
	news, err := c.ask(ctx, message{kind: kindSync, places: &places}, kindNews, kindNames)
	if err == nil && news.kind == kindNames {
		news, err = c.ask(ctx, message{kind: kindSync, have: store.Digest()}, kindNews)
	}
	if err != nil {
		return err
	}
	if err := x.takeIn(ctx, peer, c, news.frames); err != nil {
		return err
	}
	if len(news.names) == 0 {
		return nil
	}
	return x.push(ctx, c, store.Frames(news.names, deltaBudget/2))
}

// takeIn applies frames that the peer has answered with, after asking it for
// the schemas and identities that are not held.
func (x *Exchange) takeIn(ctx context.Context, peer string, c asker, frames []state.Relayed) error {
	if len(frames) == 0 {
		return nil
	}
	hashes, err := state.References(frames, x.cfg.Limits)
	if err != nil {
		return err
	}
	delta := state.Delta{Frames: frames}
	if missing := x.cfg.Store.Missing(hashes); len(missing) > 0 {
		blobs, err := c.ask(ctx, message{kind: kindGet, hashes: missing}, kindBlobs)
		if err != nil {
			return err
		}
		delta.Blobs = blobs.blobs
	}
	return x.applied(peer, Repair, x.cfg.Store.Apply(delta))
}

// push sends frames, and with them the schemas and identities that the peer
// says it lacks.
func (x *Exchange) push(ctx context.Context, c asker, frames []state.Relayed) error {
	if len(frames) == 0 {
		return nil
	}
	hashes, err := state.References(frames, x.cfg.Limits)
	if err != nil {
		return err
	}
	missing, err := c.ask(ctx, message{kind: kindOffer, hashes: hashes}, kindMissing)
	if err != nil {
		return err
	}
	_, err = c.ask(ctx, message{
		kind: kindPush, frames: frames, blobs: x.cfg.Store.Blobs(missing.hashes, deltaBudget/2),
	}, kindDone)
	return err
}

// take returns an open connection to name, and whether it has been used before.
func (x *Exchange) take(ctx context.Context, name, address string) (*conn, bool, error) {
	x.mu.Lock()
	c := x.idle[name]
	delete(x.idle, name)
	renewed := x.renewed
	x.mu.Unlock()
	if c != nil && c.renewal == renewed && time.Since(c.used) < idleTimeout/2 && c.RemoteAddr().String() == address {
		return c, true, nil
	}
	if c != nil {
		_ = c.Close()
	}
	c, err := x.dial(ctx, name, address)
	return c, false, err
}

// putBack keeps c for the next exchange with its peer, and closes those that
// have not been used for long.
func (x *Exchange) putBack(c *conn) {
	c.used = time.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	if old := x.idle[c.peer]; old != nil {
		_ = old.Close()
	}
	x.idle[c.peer] = c
	for name, other := range x.idle {
		if time.Since(other.used) > idleTimeout/2 {
			_ = other.Close()
			delete(x.idle, name)
		}
	}
}

func (x *Exchange) dial(ctx context.Context, name, address string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	renewal := x.renewals()
	raw, err := x.cfg.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("reaching %s: %w", name, err)
	}
	secure := tls.Client(counted{raw, x.cfg.Observer}, x.cfg.TLS)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		err = fmt.Errorf("handshake with %s at %s: %w", name, address, err)
		if ctx.Err() == nil {
			x.refuse(name, ReasonHandshake, err)
		}
		return nil, err
	}
	c := newConn(secure)
	c.peer, c.renewal = name, renewal
	answer, err := c.ask(ctx, x.hello(), kindHello)
	if err == nil {
		err = x.greet(c, answer, secure.ConnectionState())
	}
	if err == nil && answer.node != name {
		err = &state.Refusal{Reason: state.ReasonIdentity, Err: fmt.Errorf("%s answers where %s should be", answer.node, name)}
	}
	if err != nil {
		_ = c.Close()
		x.report(name, err)
		return nil, err
	}
	return c, nil
}

// Close closes the idle connections.
func (x *Exchange) Close() { x.closeAll() }
