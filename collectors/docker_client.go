package collectors

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/moby/moby/client"
)

// maxDockerAnswer bounds a body of the Docker daemon: /info of a busy node has
// some 10 KiB.
const maxDockerAnswer = 4 << 20

// Docker is the Docker daemon of this node, for whoever runs containers by it.
type Docker struct {
	*client.Client
	*daemonSocket
	transport *http.Transport
	raw       *client.Client // for what goes on as a raw stream, whose bounds are the reader's
}

// FindDocker returns the daemon that listens at a path of the node or, when
// that is empty, where the check docker looks by default. It does not connect.
// The error wraps ErrAbsent and says where it has looked.
func FindDocker(paths Paths, socket string) (*Docker, error) {
	s := defaultDockerSettings()
	s.Socket = socket
	found, err := s.find(paths, findKubeletRuntime(paths))
	if err != nil {
		return nil, err
	}
	return newDocker(found)
}

// newDocker returns the Engine's client over one socket, which takes nothing
// from the environment. It does not connect.
func newDocker(socket *daemonSocket) (*Docker, error) {
	transport := &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.dial(ctx) },
		MaxConnsPerHost: 4, MaxIdleConns: 1, IdleConnTimeout: time.Minute,
	}
	docker, err := client.New(client.WithHTTPClient(&http.Client{
		Transport: boundedAnswers{transport}, CheckRedirect: client.CheckRedirect,
	}))
	if err != nil {
		return nil, fmt.Errorf("client of Docker: %w", err)
	}
	raw, err := client.New(client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}))
	if err != nil {
		return nil, fmt.Errorf("client of Docker: %w", err)
	}
	return &Docker{Client: docker, daemonSocket: socket, transport: transport, raw: raw}, nil
}

// Close ends the connections.
func (d *Docker) Close() error {
	d.transport.CloseIdleConnections()
	return nil
}

// boundedAnswers ends every body after maxDockerAnswer bytes: the client reads
// whatever comes.
type boundedAnswers struct{ next http.RoundTripper }

func (b boundedAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = boundedBody{io.LimitReader(resp.Body, maxDockerAnswer), resp.Body}
	return resp, nil
}

type boundedBody struct {
	io.Reader
	io.Closer
}
