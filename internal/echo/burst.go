package echo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// Burst is what came of several requests in a row.
type Burst struct {
	Session uint64   // names this burst to Prober.Arrived
	Sent    int      // requests that were sent before ctx ended
	Answers []Answer // in order of arrival, none twice
	// Refused: the host answered that nobody listens on the port.
	Refused bool
	// Err is what the network last answered to a request, such as
	// EHOSTUNREACH; nil: nothing.
	Err error
}

// Answer is one answer of a responder.
type Answer struct {
	Seq int // 0 for the first request
	// RTT is the time on the way there and back: that which the request or
	// the answer lay in a socket, and the responder's own, are taken out.
	RTT time.Duration
	// Offset is the responder's clock minus ours. It is off the truth by at
	// most half of RTT, when the clocks were not set meanwhile.
	Offset time.Duration
	Node   string // who answered
}

// Burst sends n requests to addr, gap apart, from one new UDP socket, and
// waits until all are answered, the port is refused, or ctx ends. The error
// is that of this node: no route, no socket, no request that could be sent.
func (p Prober) Burst(ctx context.Context, addr netip.AddrPort, n int, gap time.Duration) (Burst, error) {
	if n < 1 || n > MaxBurst {
		return Burst{}, fmt.Errorf("echo: a burst of %d requests: want 1 to %d", n, MaxBurst)
	}
	b := Burst{Session: newSession()}
	s, err := p.open(ctx, addr)
	if err != nil {
		return b, err
	}
	defer s.close()
	packet := make([]byte, smallest)
	sent, heard := make([]time.Time, n), make([]bool, n)
	var failed int   // requests that this node could not send,
	var unsent error // and why
	next := time.Now()
	for b.Sent < n || len(b.Answers) < n {
		if b.Sent < n && !time.Now().Before(next) {
			s.request(packet, askSmall, b.Session, b.Sent)
			at, err := s.send(packet)
			b.note(err)
			if err != nil && !fromNetwork(err) {
				failed, unsent = failed+1, err
				if failed == n {
					return b, unsent
				}
			}
			sent[b.Sent] = at
			b.Sent++
			next = next.Add(gap)
			continue
		}
		var until time.Time
		if b.Sent < n {
			until = next
		}
		r, err := s.receive(b.Session, until)
		switch {
		case err == nil:
			if seq := int(r.seq); r.kind == answered && seq < b.Sent && !heard[seq] {
				heard[seq] = true
				b.Answers = append(b.Answers, r.since(sent[seq]))
			}
		case deadline(err) && ctx.Err() == nil:
		case fromNetwork(err):
			b.note(err)
		default: // ctx has ended, or the socket is of no use any more
			if ctx.Err() == nil {
				return b, err
			}
			if failed == b.Sent {
				return b, unsent
			}
			return b, nil
		}
		if b.Refused {
			break
		}
	}
	return b, nil
}

// note keeps what the network answered.
func (b *Burst) note(err error) {
	if err != nil && fromNetwork(err) {
		b.Err = err
		b.Refused = b.Refused || errors.Is(err, syscall.ECONNREFUSED)
	}
}

// since measures by the answer to a request sent at the time given.
func (r reply) since(sent time.Time) Answer {
	elapsed := r.at.Sub(sent)
	waited := min(r.waited, elapsed)
	// Clocks that were set meanwhile, or a responder that errs, must not turn
	// the round trip into nonsense.
	inside := time.Duration(r.left - r.arrived)
	if inside < 0 || inside > elapsed-waited {
		inside = 0
	}
	there := r.arrived - sent.UnixNano()
	back := r.left - (r.at.UnixNano() - int64(waited))
	return Answer{
		Seq: int(r.seq), RTT: elapsed - waited - inside, Offset: time.Duration(there/2 + back/2), Node: string(r.name),
	}
}
