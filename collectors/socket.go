package collectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// daemonSocket is the Unix socket of a daemon on this node. It remembers how
// the last attempt to connect went, because clients above it put that into
// words of their own.
type daemonSocket struct {
	path string // as the operator knows it
	file string // where it is found from here

	mu     sync.Mutex // guards what follows
	dialed bool
	err    error // of the last attempt
}

// dial connects.
func (s *daemonSocket) dial(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", s.file)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialed, s.err = true, err
	return conn, err
}

// fault adds to a what err, after a request that waited that long, says of
// the daemon.
func (s *daemonSocket) fault(a *assessment, request string, err error, waited time.Duration) {
	status, text := s.Fault(request, err, waited)
	a.findings = append(a.findings, finding{status: status, text: text, evidence: health.Evidence{Value: waited.Seconds(), Unit: "seconds"}})
}

// Socket is the path of the daemon's socket, as the operator knows it.
func (s *daemonSocket) Socket() string { return s.path }

// Unreachable tells whether the last attempt to connect has failed.
func (s *daemonSocket) Unreachable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialed && s.err != nil
}

// Fault words what err, after a request that waited that long, says of the
// daemon: the rest of a sentence that begins with its name. The status is
// Unknown when it is this program that may not ask.
func (s *daemonSocket) Fault(request string, err error, waited time.Duration) (status health.Status, text string) {
	s.mu.Lock()
	dialed, dialErr := s.dialed, s.err
	s.mu.Unlock()
	status = health.Critical
	switch {
	case errors.Is(dialErr, fs.ErrNotExist):
		text = "is down: its socket is gone"
	case errors.Is(dialErr, syscall.ECONNREFUSED):
		text = "is down: nothing listens at its socket (connection refused)"
	case errors.Is(dialErr, fs.ErrPermission):
		status = health.Unknown
		text = fmt.Sprintf("cannot be asked: this user may not open its socket (%s); run the agent as root or put it into the socket's group", cause(dialErr, 0))
	case errors.Is(dialErr, syscall.EAGAIN):
		text = "hangs: its socket's queue is full of connections that it does not accept"
	case (timedOut(err) || neverSpoke(err)) && dialed && dialErr == nil:
		text = fmt.Sprintf("hangs: its socket takes connections, but %s was not answered within %s", request, seconds(waited.Round(time.Millisecond).Seconds()))
	case dialErr != nil:
		text = fmt.Sprintf("cannot be reached: %s", cause(dialErr, waited))
	default:
		text = fmt.Sprintf("answers %s wrongly: %s", request, cause(err, waited))
	}
	return status, text
}

// isSocket tells whether there is a socket at the path.
func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == os.ModeSocket
}

// neverSpoke tells whether gRPC gave a connection up on which the other side
// had said nothing.
func neverSpoke(err error) bool {
	text := err.Error()
	return strings.Contains(text, "server preface") &&
		(strings.Contains(text, "use of closed network connection") || strings.Contains(text, "deadline exceeded"))
}
