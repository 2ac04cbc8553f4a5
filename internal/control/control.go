// Package control is how grapevine on the same host asks the agent: over a
// socket in the storage path. Whoever may use it may read the agent's keys
// anyway.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/grapevine-mesh/grapevine/mesh"
)

// What can be asked for.
const (
	List   = "list"
	Add    = "add"
	Use    = "use"
	Remove = "remove"
)

// Request is one line of JSON.
type Request struct {
	Do          string `json:"do"`
	Key         []byte `json:"key,omitempty"`         // for Add
	Fingerprint string `json:"fingerprint,omitempty"` // for Use and Remove
	Force       bool   `json:"force,omitempty"`       // for Use and Remove
}

// answer is one line of JSON, too.
type answer struct {
	Keyring mesh.Keyring `json:"keyring"`
	Error   string       `json:"error,omitempty"`
}

const (
	socket = "control.sock"
	// maxPath is what the kernel takes for the name of a socket.
	maxPath = 107

	maxConnections = 8
	maxRequest     = 64 << 10
	maxAnswer      = 16 << 20 // names of thousands of members, several times
	// requestTimeout is for the request to arrive; answering takes up to
	// answerTimeout: members are asked three times, 16 s each in the largest
	// of clusters.
	requestTimeout = 5 * time.Second
	answerTimeout  = 2 * time.Minute
)

// Listen opens the socket in dir, which nobody but the owner may use. One that
// a dead agent has left is replaced: the caller holds the lock of dir.
func Listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, socket)
	if len(path) > maxPath {
		return nil, fmt.Errorf("--storage.path: %s has %d characters; a socket in it may have %d", path, len(path), maxPath)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error // before it has a name, so that nobody comes in between
		return errors.Join(c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }), err)
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Serve answers one request a connection by do until ctx ends; then it closes
// l, which removes the socket.
func Serve(ctx context.Context, l net.Listener, do func(context.Context, Request) (mesh.Keyring, error)) {
	var group errgroup.Group
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	limited := netutil.LimitListener(l, maxConnections)
	for {
		c, err := limited.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil { // out of file descriptors, most likely: it passes
			time.Sleep(100 * time.Millisecond)
			continue
		}
		group.Go(func() error { serve(ctx, c, do); return nil })
	}
	_ = group.Wait()
}

func serve(ctx context.Context, c net.Conn, do func(context.Context, Request) (mesh.Keyring, error)) {
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(requestTimeout))
	var a answer
	var r Request
	if err := json.NewDecoder(io.LimitReader(c, maxRequest)).Decode(&r); err != nil {
		a.Error = "the request cannot be read"
	} else if a.Keyring, err = do(ctx, r); err != nil {
		a.Error = err.Error()
	}
	_ = c.SetDeadline(time.Now().Add(requestTimeout))
	_ = json.NewEncoder(c).Encode(a) // who asked is gone, at worst
}

// Ask asks the agent that keeps its state in dir.
func Ask(ctx context.Context, dir string, r Request) (mesh.Keyring, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, socket))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return mesh.Keyring{}, fmt.Errorf("--storage.path: %s is the agent's; ask as its user", dir)
	case err != nil:
		return mesh.Keyring{}, fmt.Errorf("--storage.path: no agent runs here that keeps its state in %s: %w", dir, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var a answer
	if err := errors.Join(json.NewEncoder(c).Encode(r), json.NewDecoder(io.LimitReader(c, maxAnswer)).Decode(&a)); err != nil {
		return mesh.Keyring{}, fmt.Errorf("asking the agent: %w", err)
	}
	if a.Error != "" {
		return a.Keyring, errors.New(a.Error)
	}
	return a.Keyring, nil
}
