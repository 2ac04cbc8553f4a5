package echo

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/go-kit/log/level"
)

// answerer is what answers over UDP: one goroutine, which allocates nothing
// for a packet.
type answerer struct {
	*Responder
	name     []byte
	ring     ring
	signer   *signer // of the request that was answered last
	sessions sessions
	limits   limits
	flood    flood
	started  time.Time
	warned   time.Duration // when a bad signature was last logged
}

func newAnswerer(r *Responder) *answerer {
	return &answerer{
		Responder: r, name: []byte(r.cfg.Node), ring: ring{keys: r.cfg.Keys}, started: time.Now(),
		sessions: sessions{seed: maphash.MakeSeed()}, limits: limits{seed: maphash.MakeSeed()},
	}
}

// serveUDP returns when the socket is closed.
func (r *Responder) serveUDP() (err error) {
	defer func() {
		if v := recover(); v != nil { // it must not end the agent
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	a := newAnswerer(r)
	packet, control, reply := make([]byte, largest), make([]byte, controlSpace), make([]byte, controlSpace)
	for {
		n, nc, _, from, err := r.udp.ReadMsgUDPAddrPort(packet, control)
		now := time.Now()
		switch {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // the network's, and none of this socket's
			time.Sleep(floodWindow)
			continue
		}
		waited, to := received(control[:nc], now)
		size, outcome := a.answer(packet[:n], from.Addr(), now, waited)
		if outcome == outcomeAnswered {
			_, _, err := r.udp.WriteMsgUDPAddrPort(packet[:size], sendFrom(reply, to), from)
			if errors.Is(err, syscall.EMSGSIZE) && size > smallest {
				// The way there takes more than our own interface: a small
				// answer says so.
				a.signer.sign(packet[:smallest])
				_, _, err = r.udp.WriteMsgUDPAddrPort(packet[:smallest], sendFrom(reply, to), from)
			}
			if err != nil {
				outcome = outcomeUnsent
			}
		}
		r.requests.udp[outcome].Inc()
		if d := a.flood.pause(now.Sub(a.started)); d > 0 {
			time.Sleep(d)
		}
	}
}

// answer turns the request in packet into its answer, and returns the size of
// it. now is when we came to read it, waited how long it lay in the socket.
func (a *answerer) answer(packet []byte, from netip.Addr, now time.Time, waited time.Duration) (int, outcome) {
	since := now.Sub(a.started) + 1
	request, ok := parse(packet)
	if !ok || request.kind == answered || request.kind == counted {
		return 0, outcomeMalformed
	}
	if a.signer = a.ring.whose(packet); a.signer == nil {
		if a.warned == 0 || since-a.warned > time.Minute {
			a.warned = since
			level.Warn(a.cfg.Logger).Log("msg", "refused an echo request signed with another key, or with none", "from", from)
		}
		return 0, outcomeUnsigned
	}
	// After the signature: who forges a peer's address must not use up what
	// the peer may ask.
	if !a.limits.allow(from, since) {
		return 0, outcomeLimited
	}
	a.requests.waited.Observe(waited.Seconds())
	h := header{kind: answered, seq: request.seq, session: request.session, name: a.name}
	size := smallest
	switch request.kind {
	case askFull:
		size = len(packet)
		fallthrough
	case askSmall:
		h.count = a.sessions.arrived(request.session, request.seq, since)
	case askCount:
		h.kind, h.count = counted, a.sessions.count(request.session, since)
	}
	left := a.cfg.Now()
	h.left = left.UnixNano()
	h.arrived = h.left - int64(time.Since(now)+waited)
	h.put(packet)
	a.signer.sign(packet[:size])
	return size, outcomeAnswered
}
