package echo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// arrivedPatience is how long to wait for an answer before asking again.
const arrivedPatience = 200 * time.Millisecond

// Arrived asks the responder, by the address via, how many requests of a
// burst have arrived, whatever address they were sent to: what was lost on
// the way there is told from what was lost on the way back. It asks again
// until ctx ends. A responder that started meanwhile knows of none.
func (p Prober) Arrived(ctx context.Context, via netip.AddrPort, session uint64) (int, error) {
	s, err := p.open(ctx, via)
	if err != nil {
		return 0, err
	}
	defer s.close()
	packet := make([]byte, smallest)
	s.request(packet, askCount, session, 0)
	for {
		if _, err := s.send(packet); err != nil && !fromNetwork(err) {
			return 0, err
		}
		for until := time.Now().Add(arrivedPatience); ; {
			r, err := s.receive(session, until)
			if err == nil && r.kind == counted {
				return int(r.count), nil
			}
			if err != nil && (ctx.Err() != nil || !deadline(err) && !fromNetwork(err) || errors.Is(err, syscall.ECONNREFUSED)) {
				return 0, fmt.Errorf("asking %v what has arrived: %w", via, err)
			}
			if err != nil && deadline(err) {
				break
			}
		}
	}
}
