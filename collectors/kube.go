package collectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"k8s.io/client-go/rest"
)

// kubeAPI asks the API server for objects, for the checks whose own subject
// is something else. It keeps one connection, and follows credentials that
// are replaced.
type kubeAPI struct {
	kubeconfig string // as configured; empty: looked for
	paths      Paths
	logger     log.Logger

	mu        sync.Mutex // guards what follows
	access    apiAccess
	stamp     string // of the access in use
	base      *url.URL
	client    *http.Client
	transport *http.Transport // below the client
}

// openKubeAPI looks for credentials; an error wraps ErrAbsent when there are
// none. It does not connect.
func openKubeAPI(kubeconfig string, env Env) (*kubeAPI, error) {
	k := &kubeAPI{kubeconfig: kubeconfig, paths: env.Paths, logger: env.Logger}
	access, err := findAccess(kubeconfig, env.Paths.Root)
	if err != nil {
		return nil, err
	}
	if err := k.use(access); err != nil {
		return nil, err
	}
	return k, nil
}

// use makes access the credentials of the next request.
func (k *kubeAPI) use(access apiAccess) error {
	base, _, err := rest.DefaultServerUrlFor(&rest.Config{Host: access.config.Host, TLSClientConfig: access.config.TLSClientConfig})
	if err != nil {
		return fmt.Errorf("API server %q: %w", clip(access.config.Host, 100), err)
	}
	client, transport, err := access.client("")
	if err != nil {
		return fmt.Errorf("credentials for %s: %w", base.Host, err)
	}
	if k.transport != nil {
		k.transport.CloseIdleConnections()
	}
	k.access, k.stamp = access, access.stamp()
	k.base, k.client, k.transport = base, client, transport
	return nil
}

// renewed returns the client to ask with. Credentials that have changed and
// cannot be read leave the old ones in use.
func (k *kubeAPI) renewed() (*http.Client, *url.URL) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.access.stamp(); now != k.stamp {
		k.stamp = now
		access, err := findAccess(k.kubeconfig, k.paths.Root)
		if err == nil {
			err = k.use(access)
		}
		if err != nil {
			level.Warn(k.logger).Log("msg", "credentials have changed and cannot be read; going on with the old ones", "err", err)
		}
	}
	return k.client, k.base
}

// host is host:port of the API server that is asked.
func (k *kubeAPI) host() string {
	_, base := k.renewed()
	return hostPortOf(base.Scheme, base.Host)
}

// kubeError is why an object could not be read.
type kubeError struct {
	code int // of the answer; 0 when there was none
	text string
}

// Error is the reason, to go on after "the API server".
func (e *kubeError) Error() string { return e.text }

// denied tells whether the API server answered, but not to us.
func denied(err error) bool {
	var e *kubeError
	return errors.As(err, &e) && (e.code == http.StatusUnauthorized || e.code == http.StatusForbidden)
}

// missing tells whether there is no such object.
func missing(err error) bool {
	var e *kubeError
	return errors.As(err, &e) && e.code == http.StatusNotFound
}

// get reads the object at path into a pointer. Errors are of type *kubeError
// and read on after "the API server": "does not answer: connection refused".
func (k *kubeAPI) get(ctx context.Context, path string, query url.Values, into any) error {
	client, base := k.renewed()
	return getObject(ctx, client, base, path, query, into)
}

// getObject is get over any client, of the API server at base.
func getObject(ctx context.Context, client *http.Client, base *url.URL, path string, query url.Values, into any) error {
	target := *base
	target.Path, target.RawQuery = strings.TrimSuffix(base.Path, "/")+path, query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return &kubeError{text: "cannot be asked for " + path + ": " + err.Error()}
	}
	req.Header.Set("Accept", "application/json")
	a := ask(client, req)
	switch {
	case a.err != nil:
		return &kubeError{text: "does not answer: " + a.why()}
	case a.code == http.StatusUnauthorized:
		return &kubeError{a.code, "does not accept the credentials (401)"}
	case a.code != http.StatusOK:
		return &kubeError{a.code, fmt.Sprintf("answers %d to %s: %s", a.code, path, a.words())}
	}
	if err := json.Unmarshal(a.body, into); err != nil || a.object().Kind == "" {
		return &kubeError{text: fmt.Sprintf("does not answer %s as an API server does: %s, %q", path, a.mediaWords(), a.words())}
	}
	return nil
}

// Close ends the idle connections.
func (k *kubeAPI) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.transport.CloseIdleConnections()
	return nil
}

// KubeAPI is an API server and who to be there, for those who ask it beside
// the checks.
type KubeAPI struct{ api *kubeAPI }

// OpenKubeAPI looks for credentials as the check apiserver does: the
// kubeconfig, else where kubectl looks, the service account, and what
// installers leave on a node. An error wraps ErrAbsent when there are none. It
// does not connect.
func OpenKubeAPI(kubeconfig string, env Env) (*KubeAPI, error) {
	api, err := openKubeAPI(kubeconfig, env)
	if err != nil {
		return nil, err
	}
	return &KubeAPI{api}, nil
}

// Client returns an HTTP client with the credentials as they are now, and the
// URL of the API server. The client speaks HTTP/1.1, follows no redirect and
// has no timeout of its own.
func (k *KubeAPI) Client() (*http.Client, *url.URL) { return k.api.renewed() }

// Config holds the API server and the credentials as they are now, for what
// cannot go by the client: WebSockets.
func (k *KubeAPI) Config() *rest.Config {
	_, _ = k.api.renewed()
	k.api.mu.Lock()
	defer k.api.mu.Unlock()
	config := rest.CopyConfig(k.api.access.config)
	config.UserAgent = userAgent
	if config.Proxy == nil { // nor is the environment's taken
		config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	return config
}

// Close ends the idle connections.
func (k *KubeAPI) Close() error { return k.api.Close() }
