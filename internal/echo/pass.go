package echo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// Outcome is what became of a packet that may not be fragmented.
type Outcome int

// The outcomes of Prober.Pass.
const (
	Silent        Outcome = iota // no answer before ctx ended
	Passed                       // it was answered
	TooLargeHere                 // this node's own interface does not take it
	TooLargeThere                // a router on the way answered that it is too large
	TooLargeBack                 // it arrived, but the other node's interface takes no answer as large
)

// String words o as part of a sentence.
func (o Outcome) String() string {
	switch o {
	case Passed:
		return "passed"
	case TooLargeHere:
		return "too large for the interface"
	case TooLargeThere:
		return "refused by a router as too large"
	case TooLargeBack:
		return "answered by less, as the other interface does not take more"
	}
	return "not answered"
}

// Pass sends one request that is size bytes long as an IP packet, headers
// included, may not be fragmented, and heeds no path MTU that the kernel has
// learnt. With both, the answer is as large as the request, likewise; else it
// is as small as can be. It waits until ctx ends. A port that is refused is
// an error that wraps ECONNREFUSED.
func (p Prober) Pass(ctx context.Context, addr netip.AddrPort, size int, both bool) (Outcome, error) {
	if size < Smallest(addr.Addr()) || size > largest {
		return Silent, fmt.Errorf("echo: a packet of %d bytes: want %d to %d", size, Smallest(addr.Addr()), largest)
	}
	s, err := p.open(ctx, addr)
	if err != nil {
		return Silent, err
	}
	defer s.close()
	packet := append([]byte(nil), padding[:size-Headers(addr.Addr())]...)
	k := askSmall
	if both {
		k, s.packet = askFull, make([]byte, len(packet))
	}
	session := newSession()
	s.request(packet, k, session, 0)
	if _, err := s.Write(packet); errors.Is(err, syscall.EMSGSIZE) {
		return TooLargeHere, nil
	} else if err != nil {
		return Silent, err
	}
	for {
		r, err := s.receive(session, time.Time{})
		switch {
		case err == nil && r.kind == answered && both && r.size < len(packet):
			return TooLargeBack, nil
		case err == nil && r.kind == answered:
			return Passed, nil
		case errors.Is(err, syscall.EMSGSIZE):
			return TooLargeThere, nil
		case err != nil && ctx.Err() != nil:
			return Silent, nil
		case err != nil:
			return Silent, err
		}
	}
}
