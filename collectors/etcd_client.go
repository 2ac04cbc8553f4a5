package collectors

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// etcdCredentials are what a client shows to etcd.
type etcdCredentials struct {
	tls                *tls.Config
	username, password string
}

// connectEtcd returns a client of the one endpoint. It connects when first
// used and by itself again when the connection is lost; timeout bounds each
// attempt. With a user name it asks for a token first, until ctx ends.
func connectEtcd(ctx context.Context, endpoint *url.URL, creds etcdCredentials, timeout time.Duration) (*clientv3.Client, error) {
	tokenTime := timeout
	if creds.username != "" {
		// The client's own request for a token waits for a connection and
		// does not say why there is none. So see first.
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", endpoint.Host)
		if err != nil {
			return nil, err
		}
		_ = conn.Close()
		if deadline, ok := ctx.Deadline(); ok {
			tokenTime = max(time.Until(deadline), time.Millisecond)
		}
	}
	conf := clientv3.Config{
		Endpoints:   []string{endpoint.Scheme + "://" + endpoint.Host},
		DialTimeout: tokenTime,
		// With keepalive on, gRPC also gives up on a host that has gone
		// without a word once data to it stays unconfirmed for the timeout.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: timeout,
		Username:             creds.username,
		Password:             creds.password,
		Logger:               zap.NewNop(),
		DialOptions: []grpc.DialOption{
			// gRPC's own back-off grows to two minutes; a member that comes
			// back is to be seen in the next run.
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
				MinConnectTimeout: timeout,
			}),
			// A dialer of our own also keeps gRPC from asking a proxy.
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", addr)
			}),
		},
	}
	if endpoint.Scheme == "https" {
		conf.TLS = creds.tls.Clone()
	}
	return clientv3.New(conf)
}

// maxIdleEtcd is how long an unused connection to a metrics listener is kept.
const maxIdleEtcd = time.Minute

// metricsClient returns a client for the member's metrics listener. Bodies
// stay as they are sent, so that a bound on their size holds.
func metricsClient(creds etcdCredentials) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:        creds.tls.Clone(),
			DisableCompression:     true,
			MaxIdleConns:           1,
			IdleConnTimeout:        maxIdleEtcd,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// permissionDenied tells whether a member that is well answered that this
// client may not do what it asked.
func permissionDenied(err error) bool {
	if err == nil {
		return false
	}
	return status.Code(err) == codes.PermissionDenied || errors.Is(rpctypes.Error(err), rpctypes.ErrUserEmpty)
}

// credentialsRefused tells whether the member did not accept who we are.
func credentialsRefused(err error) bool {
	return status.Code(err) == codes.Unauthenticated || errors.Is(rpctypes.Error(err), rpctypes.ErrAuthFailed) ||
		errors.Is(rpctypes.Error(err), rpctypes.ErrAuthNotEnabled) || refusesCertificate(err)
}

// closedEarly tells whether a connection was made and ended before a word
// was said. Over TLS 1.3 that may be a refused client certificate: the alert
// comes after the handshake, and gRPC may lose it to the failed write.
func closedEarly(err error) bool {
	text := err.Error()
	for _, sign := range []string{"broken pipe", "connection reset", "EOF", "connection closed"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// unserved tells whether a connection was made and the server did not say a
// word until gRPC gave up: it hangs, or does not accept connections yet.
func unserved(err error) bool {
	text := err.Error()
	return strings.Contains(text, "server preface") &&
		(strings.Contains(text, net.ErrClosed.Error()) || strings.Contains(text, os.ErrDeadlineExceeded.Error()) || strings.Contains(text, context.DeadlineExceeded.Error()))
}
