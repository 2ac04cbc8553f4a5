package collectors

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/moby/moby/client"
)

// maxDockerAnswer bounds a body of the Docker daemon: /info of a busy node has
// some 10 KiB.
const maxDockerAnswer = 4 << 20

// newDockerClient returns the Engine's client over one socket, which takes
// nothing from the environment. It does not connect.
func newDockerClient(socket *daemonSocket) (*client.Client, *http.Transport, error) {
	transport := &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.dial(ctx) },
		MaxConnsPerHost: 4, MaxIdleConns: 1, IdleConnTimeout: time.Minute,
	}
	docker, err := client.New(client.WithHTTPClient(&http.Client{
		Transport: boundedAnswers{transport}, CheckRedirect: client.CheckRedirect,
	}))
	return docker, transport, err
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
