package exchange

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// serve answers one peer until it goes, falls silent or misbehaves.
func (x *Exchange) serve(ctx context.Context, raw net.Conn) {
	remote := raw.RemoteAddr().String()
	secure := tls.Server(counted{raw, x.cfg.Observer}, x.cfg.TLS)
	_ = raw.SetDeadline(time.Now().Add(helloTimeout))
	if err := secure.HandshakeContext(ctx); err != nil {
		if !errors.Is(err, io.EOF) && ctx.Err() == nil { // a port scan or a health probe is no stranger
			x.refuse(remote, ReasonHandshake, err)
		}
		return
	}
	c := newConn(secure)
	defer c.Close()
	greeting, err := c.read()
	if err == nil {
		err = x.greet(c, greeting, secure.ConnectionState())
	}
	if err == nil {
		c.peer = greeting.node
		err = x.enter(c.peer)
	}
	if err != nil {
		x.report(nameOr(greeting.node, remote), err)
		_ = writeMessage(c, message{kind: kindRefused, reason: err.Error()})
		return
	}
	x.known(raw)
	defer x.leave(c.peer)
	if err := writeMessage(c, x.hello()); err != nil {
		return
	}
	for {
		_ = c.SetDeadline(time.Now().Add(idleTimeout))
		if _, err := c.reader.Peek(1); err != nil {
			return // gone or idle: either is its right
		}
		_ = c.SetDeadline(time.Now().Add(requestTimeout))
		request, err := c.read()
		if err != nil {
			x.report(c.peer, err)
			return
		}
		if request.kind == kindPipe {
			x.pipe(ctx, c)
			return
		}
		answer, err := x.answer(c.peer, request)
		if err == nil && answer.kind == 0 {
			continue
		}
		if err != nil {
			x.report(c.peer, err)
			_ = writeMessage(c, message{kind: kindRefused, reason: err.Error()})
			return
		}
		if err := writeMessage(c, answer); err != nil {
			return
		}
	}
}

func nameOr(name, address string) string {
	if name == "" {
		return address
	}
	return fmt.Sprintf("%.100s (%s)", name, address)
}

// answer does what a message asks for. The answer to a cast is none.
func (x *Exchange) answer(peer string, request message) (message, error) {
	store := x.cfg.Store
	switch request.kind {
	case kindPing:
		return message{kind: kindPong}, nil
	case kindCast:
		out := x.cfg.Received(peer, request.groups, state.Delta{Frames: request.frames, Blobs: request.blobs})
		return message{}, x.applied(peer, Fast, out)
	case kindSync:
		frames, wants, refusal, ok := x.diff(request)
		if !ok {
			return message{kind: kindNames}, nil
		}
		if refusal != nil {
			x.cfg.Observer.Refused(peer, refusal)
			if refusal.Hostile {
				return message{}, errReported
			}
		}
		return message{kind: kindNews, frames: frames, names: wants}, nil
	case kindInquire:
		return x.told(peer, request)
	case kindBare:
		return message{kind: kindNews, frames: store.Bare(request.names, deltaBudget)}, nil
	case kindGet:
		return message{kind: kindBlobs, blobs: store.Blobs(request.hashes, deltaBudget)}, nil
	case kindOffer:
		return message{kind: kindMissing, hashes: store.Missing(request.hashes)}, nil
	case kindPush:
		out := store.Apply(state.Delta{Frames: request.frames, Blobs: request.blobs})
		return message{kind: kindDone}, x.applied(peer, Repair, out)
	default:
		return message{}, unexpected(request.kind)
	}
}

// diff compares the digest of a request with what is held. It is false for a
// digest by places of another roster.
func (x *Exchange) diff(request message) (frames []state.Relayed, wants []string, refusal *state.Refusal, ok bool) {
	if request.places != nil {
		return x.cfg.Store.DiffPlaces(*request.places, deltaBudget)
	}
	frames, wants, refusal = x.cfg.Store.Diff(request.have, deltaBudget)
	return frames, wants, refusal, true
}

// enter counts a connection of peer in, and refuses one too many.
func (x *Exchange) enter(peer string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.peers[peer] >= maxConnsPerPeer {
		return &state.Refusal{Reason: ReasonCrowd, Err: fmt.Errorf("has %d connections already", maxConnsPerPeer)}
	}
	x.peers[peer]++
	return nil
}

func (x *Exchange) leave(peer string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.peers[peer]--; x.peers[peer] == 0 {
		delete(x.peers, peer)
	}
}
