package exchange

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// stream is the way to one peer on the fast path: a queue and the connection
// that empties it. What is cast on it is not answered: what gets lost comes by
// repair.
type stream struct {
	x    *Exchange
	peer string
	wake chan struct{} // something is queued

	// All below is guarded by x.mu.
	queue    [][]byte
	bytes    int // in queue
	failures int // in a row
	retry    time.Time

	busy chan struct{} // holds one token while conn is in use
	conn *conn         // nil: not connected; guarded by busy
	stop func() bool   // of closing conn when the stream's context ends
}

const (
	// maxQueue bounds what waits for one peer. At a thousand nodes it is a
	// minute's worth.
	maxQueue   = 256 << 10
	maxStreams = 1024
	// streamIdle is when a stream that nothing is cast on any more ends: the
	// layout has changed.
	streamIdle = 2 * time.Minute
	// retryFirst is for how long a peer that could not be reached is left
	// alone, and retryMost what that grows to.
	retryFirst = 5 * time.Second
	retryMost  = 2 * time.Minute
)

// Cast sends frames and blobs to peers on the fast path. groups other than 0
// asks them to pass the frames on. It encodes once and waits for nobody: what
// a slow peer does not take is dropped.
func (x *Exchange) Cast(to []string, groups int, d state.Delta) error {
	b, err := EncodeCast(groups, d)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, peer := range to {
		if dropped := x.enqueue(peer, b, now); dropped > 0 {
			x.cfg.Observer.Shed(peer, dropped)
		}
	}
	return nil
}

// enqueue returns how many bytes peer will not get.
func (x *Exchange) enqueue(peer string, b []byte, now time.Time) (dropped int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.streams[peer]
	if s == nil {
		if x.group == nil || len(x.streams) >= maxStreams {
			return len(b)
		}
		s = &stream{x: x, peer: peer, wake: make(chan struct{}, 1), busy: make(chan struct{}, 1)}
		x.streams[peer] = s
		x.group.Go(func() error { s.run(x.ctx); return nil })
	}
	if now.Before(s.retry) {
		return len(b)
	}
	if s.bytes+len(b) > maxQueue {
		dropped, s.queue, s.bytes = s.bytes, nil, 0
	}
	s.queue, s.bytes = append(s.queue, b), s.bytes+len(b)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return dropped
}

// Reachable reports whether peer could be reached when that was last tried.
func (x *Exchange) Reachable(peer string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.streams[peer]
	return s == nil || s.failures == 0 || time.Now().After(s.retry)
}

func (x *Exchange) stream(peer string) *stream {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.streams[peer]
}

// run empties the queue until ctx ends or nothing has come for long.
func (s *stream) run(ctx context.Context) {
	idle := time.NewTimer(streamIdle)
	defer idle.Stop()
	defer func() {
		s.busy <- struct{}{}
		s.hangUp()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			if s.retire() {
				return
			}
			idle.Reset(streamIdle)
		case <-s.wake:
			idle.Reset(streamIdle)
			for b := s.next(); b != nil; b = s.next() {
				s.settle(s.send(ctx, b))
			}
		}
	}
}

// retire takes the stream out of use, unless something has just been queued.
func (s *stream) retire() bool {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if len(s.queue) > 0 {
		return false
	}
	delete(s.x.streams, s.peer)
	return true
}

// next takes the oldest of the queue; nil if it is empty.
func (s *stream) next() []byte {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	if len(s.queue) == 0 {
		s.queue = nil
		return nil
	}
	b := s.queue[0]
	s.queue, s.bytes = s.queue[1:], s.bytes-len(b)
	return b
}

// settle notes how sending went. After a failure the peer is left alone for a
// while, and what is queued for it is dropped.
func (s *stream) settle(err error) {
	s.x.mu.Lock()
	if err == nil {
		s.failures, s.retry = 0, time.Time{}
		s.x.mu.Unlock()
		return
	}
	s.failures = min(s.failures+1, 10)
	s.retry = time.Now().Add(min(retryFirst<<(s.failures-1), retryMost))
	dropped := s.bytes
	s.queue, s.bytes = nil, 0
	s.x.mu.Unlock()
	if dropped > 0 {
		s.x.cfg.Observer.Shed(s.peer, dropped)
	}
}

// send writes b, over a new connection if there is none or the peer has hung
// up meanwhile. A peer that does not read is not called again at once.
func (s *stream) send(ctx context.Context, b []byte) error {
	s.busy <- struct{}{}
	defer func() { <-s.busy }()
	address := s.x.cfg.Address(s.peer)
	s.dropOutdated(address)
	if s.conn != nil {
		err := s.write(b)
		if err == nil || ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	c, err := s.x.dial(ctx, s.peer, address)
	if err != nil {
		return err
	}
	s.conn, s.stop = c, context.AfterFunc(ctx, func() { _ = c.Close() })
	return s.write(b)
}

// write needs s.busy.
func (s *stream) write(b []byte) error {
	_ = s.conn.SetDeadline(time.Now().Add(requestTimeout))
	_, err := s.conn.Write(b)
	if err != nil {
		s.hangUp()
	}
	return err
}

// dropOutdated hangs up if the connection was made before the last renewal, or
// before the peer moved to address. It needs s.busy.
func (s *stream) dropOutdated(address string) {
	if s.conn != nil && (s.conn.renewal != s.x.renewals() || s.conn.RemoteAddr().String() != address) {
		s.hangUp()
	}
}

// hangUp needs s.busy.
func (s *stream) hangUp() {
	if s.conn != nil {
		s.stop()
		_ = s.conn.Close()
		s.conn = nil
	}
}

// sync runs a round of repair over the stream's connection. It is not tried
// if there is none, or if it turns out to be dead.
func (s *stream) sync(ctx context.Context, address string) (tried bool, _ error) {
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return true, ctx.Err()
	}
	defer func() { <-s.busy }()
	s.dropOutdated(address)
	if s.conn == nil {
		return false, nil
	}
	err := s.x.sync(ctx, s.peer, s.conn)
	if err == nil {
		return true, nil
	}
	s.hangUp()
	if refused(err) || ctx.Err() != nil {
		s.x.report(s.peer, err)
		return true, err
	}
	return false, nil
}
