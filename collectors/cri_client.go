package collectors

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// maxCRIAnswer bounds a message of the runtime; the kubelet's own bound.
const maxCRIAnswer = 16 << 20

// CRILogs is the folder of the logs of containers that are made by CRI: no
// runtime makes it, and this one is on each node. All of them must have a log,
// though they write nothing, and a few names must do for all of them, since
// nobody else removes the files. Where a container has none, a kubelet that
// takes it for a leftover removes what the empty path and a * match: what is
// first in the root directory, such as /bin.
const CRILogs = "/run"

// CRI is a container runtime of this node, for whoever runs containers by it.
type CRI struct {
	*daemonSocket
	Runtime criv1.RuntimeServiceClient
	Images  criv1.ImageServiceClient
	conn    *grpc.ClientConn
}

// FindCRI returns the runtime that listens at a path of the node or, when that
// is empty, the first that the check cri looks at by default. It does not
// connect. The error wraps ErrAbsent and says where it has looked.
func FindCRI(paths Paths, socket string) (*CRI, error) {
	s := defaultCRISettings()
	if socket != "" {
		s.Sockets = []string{socket}
	}
	found, err := s.find(paths)
	if err != nil {
		return nil, err
	}
	return newCRI(found[0])
}

// newCRI does not connect.
func newCRI(socket *daemonSocket) (*CRI, error) {
	conn, err := grpc.NewClient("passthrough:///runtime",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return socket.dial(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxCRIAnswer)),
		grpc.WithAuthority("localhost"),
		// A runtime that is back is to be seen in the next run.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, MaxDelay: 3 * time.Second},
			// A connection to one that hangs is kept, not added to its queue.
			MinConnectTimeout: time.Minute,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", socket.path, err)
	}
	return &CRI{daemonSocket: socket, Runtime: criv1.NewRuntimeServiceClient(conn), Images: criv1.NewImageServiceClient(conn), conn: conn}, nil
}

// Close ends the connection.
func (c *CRI) Close() error { return c.conn.Close() }

// disturbedWithin is how long after an error the sandbox is watched: whoever
// ends it kills its processes first, and its state tells only afterwards.
const disturbedWithin = 2 * time.Second

// Disturbed tells an error of the runtime from one that comes of somebody
// else's ending the sandbox: the kubelet does that to what it does not know.
// It takes up to two seconds.
func (c *CRI) Disturbed(ctx context.Context, sandboxID string, err error) bool {
	if status.Code(err) == codes.NotFound {
		return true
	}
	watching, cancel := context.WithTimeout(ctx, disturbedWithin)
	defer cancel()
	for watching.Err() == nil {
		answer, stateErr := c.Runtime.PodSandboxStatus(watching, &criv1.PodSandboxStatusRequest{PodSandboxId: sandboxID})
		ended := stateErr == nil && answer.GetStatus().GetState() == criv1.PodSandboxState_SANDBOX_NOTREADY
		if ended || status.Code(stateErr) == codes.NotFound {
			return true
		}
		linger(watching, 100*time.Millisecond)
	}
	return false
}

// RemoveSandbox stops and removes a sandbox with all that is in it. It is no
// error when that is gone already.
func (c *CRI) RemoveSandbox(ctx context.Context, id string) error {
	return again(ctx, func() error {
		if _, err := c.Runtime.StopPodSandbox(ctx, &criv1.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
			return err
		}
		_, err := c.Runtime.RemovePodSandbox(ctx, &criv1.RemovePodSandboxRequest{PodSandboxId: id})
		return err
	})
}

// again tries to remove something a second time: while somebody else removes
// it too, the runtime may answer with an error. What is gone is removed.
func again(ctx context.Context, remove func() error) error {
	err := remove()
	if err != nil && ctx.Err() == nil {
		linger(ctx, 500*time.Millisecond)
		err = remove()
	}
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

// linger waits, or until ctx ends.
func linger(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
