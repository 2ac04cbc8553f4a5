package mesh

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/hashicorp/memberlist"
)

// Bounds on the connections of the gossip. Memberlist has none, and reads up
// to 20 MB from each before it looks at the key.
const (
	maxGossipStreams        = 128
	maxGossipStreamsPerHost = 32
	// maxGossipStreamBytes is twice what the state of a full cluster takes.
	maxGossipStreamBytes = 8 << 20
)

// fewStreams is a transport of memberlist that takes a bounded number of
// connections, and a bounded number of bytes of each.
type fewStreams struct {
	memberlist.Transport
	refused func(reason string, err error)
	streams chan net.Conn
	closing chan struct{} // closed when connections are dropped from now on
	ended   chan struct{} // closed when none will come any more
	pass    sync.WaitGroup
	once    sync.Once

	mu    sync.Mutex // guards all below
	open  int
	hosts map[string]int // open, by remote host
}

// boundStreams owns t, and is to be shut down.
func boundStreams(t memberlist.Transport, refused func(reason string, err error)) *fewStreams {
	f := &fewStreams{
		Transport: t, refused: refused, streams: make(chan net.Conn),
		closing: make(chan struct{}), ended: make(chan struct{}), hosts: map[string]int{},
	}
	f.pass.Go(func() {
		for {
			select {
			case <-f.ended:
				return
			case c := <-t.StreamCh():
				f.take(c)
			}
		}
	})
	return f
}

const reasonGossipCrowd = "gossip_crowd"

func (f *fewStreams) take(c net.Conn) {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		host = c.RemoteAddr().String()
	}
	f.mu.Lock()
	full := f.open >= maxGossipStreams || f.hosts[host] >= maxGossipStreamsPerHost
	if !full {
		f.open++
		f.hosts[host]++
	}
	f.mu.Unlock()
	if full {
		_ = c.Close()
		f.refused(reasonGossipCrowd, fmt.Errorf("%s: more than %d connections of one host, or %d in all", host, maxGossipStreamsPerHost, maxGossipStreams))
		return
	}
	s := &gossipStream{Conn: c, left: maxGossipStreamBytes, of: f, host: host}
	select {
	case f.streams <- s:
	case <-f.closing:
		_ = s.Close()
	}
}

// gossipStream counts down what may still be read.
type gossipStream struct {
	net.Conn
	left int64
	of   *fewStreams
	host string
	once sync.Once
}

var errTooMuchGossip = fmt.Errorf("more than %d bytes on one connection of the gossip", maxGossipStreamBytes)

// Read implements net.Conn.
func (s *gossipStream) Read(b []byte) (int, error) {
	if s.left <= 0 {
		s.of.refused(reasonGossipCrowd, errTooMuchGossip)
		return 0, errors.Join(errTooMuchGossip, io.ErrUnexpectedEOF)
	}
	n, err := s.Conn.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	return n, err
}

// Close implements net.Conn.
func (s *gossipStream) Close() error {
	s.once.Do(func() {
		s.of.mu.Lock()
		defer s.of.mu.Unlock()
		s.of.open--
		if s.of.hosts[s.host]--; s.of.hosts[s.host] == 0 {
			delete(s.of.hosts, s.host)
		}
	})
	return s.Conn.Close()
}

// StreamCh implements memberlist.Transport.
func (f *fewStreams) StreamCh() <-chan net.Conn { return f.streams }

// Shutdown implements memberlist.Transport. It may be called again.
func (f *fewStreams) Shutdown() error {
	var err error
	f.once.Do(func() {
		// The transport waits for its readers, which wait for us to take
		// their last connection.
		close(f.closing)
		err = f.Transport.Shutdown()
		close(f.ended)
		f.pass.Wait()
	})
	return err
}
