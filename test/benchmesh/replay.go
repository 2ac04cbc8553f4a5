package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/exchange"
	"github.com/grapevine-mesh/grapevine/mesh/spread"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// replayed is a node that does again what a recorder has kept: it verifies and
// decodes every frame, makes its own, and writes and reads TLS records.
type replayed struct {
	*recorder
	now      time.Duration
	store    *state.Store
	spread   *spread.Spread
	exchange *exchange.Exchange
	line     *line
}

// Member implements state.Trust.
func (r *replayed) Member(name string) bool { return r.keys[name] != nil }

// Key implements state.Trust.
func (r *replayed) Key(name string, _ []byte) (ed25519.PublicKey, error) { return r.keys[name], nil }

// Applied implements exchange.Observer.
func (r *replayed) Applied(exchange.Path, int, int) {}

// Refused implements exchange.Observer.
func (r *replayed) Refused(_ string, refusal *state.Refusal) { panic(refusal) }

// Transferred implements exchange.Observer.
func (r *replayed) Transferred(int, int) {}

// Shed implements exchange.Observer.
func (r *replayed) Shed(string, int) {}

// cost is what a node takes, but for its sockets.
type cost struct {
	cpu    time.Duration // in Measure
	during time.Duration
	state  float64 // bytes
}

// String returns key=value pairs.
func (c cost) String() string {
	return fmt.Sprintf("cpu_core_percent=%.2f state_mb=%.1f", 100*c.cpu.Seconds()/c.during.Seconds(), c.state/1e6)
}

// replay measures what r's node costs.
func replay(r *recorder) (cost, error) {
	line, err := newLine()
	if err != nil {
		return cost{}, err
	}
	for _, s := range r.steps {
		if s.message.size > 0 {
			err = line.seal(&s.message)
		}
		for i := range s.answers {
			err = cmp.Or(err, line.seal(&s.answers[i]))
		}
		if err != nil {
			return cost{}, err
		}
	}
	// The encoders of messages are the process's, not the state's.
	if _, err := exchange.EncodeCast(0, state.Delta{Blobs: [][]byte{make([]byte, 1<<20)}}); err != nil {
		return cost{}, err
	}
	before := heap()
	node := &replayed{recorder: r, line: line, now: warmUp}
	clock := func() time.Time { return began.Add(node.now) }
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	node.store = state.New(state.Config{
		Self: r.name, Cluster: clusterID, Trust: node, Limits: limits, Nodes: 2 * len(r.names), Identity: make([]byte, identityBytes),
		Key: private, ForgetAfter: 24 * time.Hour, Settle: r.Settle, Now: clock,
	}, 0)
	node.spread = spread.New(spread.Config{Self: r.name, Store: node.store, Cast: node.cast, Reachable: func(string) bool { return true }})
	node.exchange = exchange.New(exchange.Config{
		Node: r.name, Cluster: clusterID, Store: node.store, Limits: limits, Observer: node, Received: node.spread.Receive,
	})
	node.store.Resume(r.version)
	node.store.Apply(r.held)
	node.spread.SetMembers(r.names)
	runtime.GC()
	start := cpu()
	for _, s := range r.steps {
		node.now = s.at
		if err := node.do(s); err != nil {
			return cost{}, fmt.Errorf("at %v: %w", s.at, err)
		}
	}
	used := cpu() - start
	grown := heap() - before
	if n := len(node.store.Nodes()); n != len(r.names) {
		return cost{}, fmt.Errorf("it holds %d of %d nodes", n, len(r.names))
	}
	runtime.KeepAlive(node)
	return cost{used, r.Measure, grown}, nil
}

func (r *replayed) do(s *step) error {
	switch {
	case s.snapshot != nil:
		if err := r.store.Publish(*s.snapshot, r.Interval); err != nil {
			return err
		}
		r.spread.Publish()
	case s.flush:
		r.spread.Flush()
	case s.message.size > 0:
		message, err := r.line.open(s.message)
		if err != nil {
			return err
		}
		answer, err := r.exchange.Answer(s.peer, message)
		if err != nil || answer == nil {
			return err
		}
		return r.line.send(answer)
	case s.sync:
		left := s.answers
		err := r.exchange.SyncBy(context.Background(), s.peer, func(request []byte) ([]byte, error) {
			if err := r.line.send(request); err != nil || len(left) == 0 {
				return nil, errLost
			}
			answer := left[0]
			left = left[1:]
			return r.line.open(answer)
		})
		for _, answer := range left { // asked less than it was told: the records come nevertheless
			if _, err := r.line.open(answer); err != nil {
				return err
			}
		}
		_ = err // lost, as it was in the recording
	}
	return nil
}

// cast implements the Cast of spread.Config.
func (r *replayed) cast(to []string, groups int, d state.Delta) {
	wire, err := exchange.EncodeCast(groups, d)
	for range to {
		if err == nil {
			err = r.line.send(wire)
		}
	}
	if err != nil {
		panic(err) // of memory
	}
}

// heap is what lives on it, in bytes.
func heap() float64 {
	debug.FreeOSMemory()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// cpu is what this process has used, garbage collection included.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // no such process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
