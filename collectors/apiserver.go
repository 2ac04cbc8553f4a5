package collectors

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the apiserver check exports. Labels: endpoint is host:port as asked;
// operation is livez, readyz, get or list; path is /livez or /readyz.
var (
	apiUp = Metric{
		Name: "grapevine_apiserver_up", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Whether the endpoint answered as an API server does in the last run.",
	}
	apiCheckUp = Metric{
		Name: "grapevine_apiserver_check_up", Type: health.Gauge, Labels: []string{"endpoint", "path", "name"},
		Help: "Whether the API server's own check of that name passed.",
	}
	apiSeconds = Metric{
		Name: "grapevine_apiserver_request_duration_seconds", Type: health.Histogram, Labels: []string{"endpoint", "operation"},
		Help:    "Time of answered requests, without connecting.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}
	apiLast = Metric{
		Name: "grapevine_apiserver_request_last_duration_seconds", Type: health.Gauge, Labels: []string{"endpoint", "operation"},
		Help: "Time the last request took without connecting; when it failed, the time until then.",
	}
	apiSuccess = Metric{
		Name: "grapevine_apiserver_request_success", Type: health.Gauge, Labels: []string{"endpoint", "operation"},
		Help: "Whether the last request was answered as it should be; for livez and readyz, that all checks passed.",
	}
	apiCode = Metric{
		Name: "grapevine_apiserver_response_code", Type: health.Gauge, Labels: []string{"endpoint", "operation"},
		Help: "HTTP status code of the last answer, 0 when there was none.",
	}
)

func apiserverSpec() Spec {
	return Spec{
		Name:     "apiserver",
		Summary:  "liveness, readiness and latency of every API server and of its Service",
		Why:      "Everything in a cluster talks through the API server: when it is slow or not ready, nothing is scheduled, no endpoint is updated, and DNS serves what was true before.",
		Remedy:   "Ask it yourself: kubectl get --raw '/readyz?verbose'. When the check etcd fails there, look at etcd and the disk below it first; when one endpoint of several is bad, look at its log and its certificates.",
		Subject:  "endpoint as host:port",
		Metrics:  []Metric{apiUp, apiCheckUp, apiSeconds, apiLast, apiSuccess, apiCode},
		Settings: func() Settings { return defaultAPIServerSettings() },
	}
}

// apiserverCheck asks API servers over connections it keeps between runs.
type apiserverCheck struct {
	settings apiserverSettings
	root     string
	logger   log.Logger
	latency  *prometheus.HistogramVec

	mu      sync.Mutex // guards what follows
	access  apiAccess
	stamp   string // of the access in use
	targets []*apiTarget
}

// New looks for credentials. Without any, only configured endpoints are
// asked, as an anonymous user.
func (s *apiserverSettings) New(env Env) (Collector, error) {
	root := env.Paths.Root
	access, err := findAccess(s.Kubeconfig, root)
	if err != nil {
		if !errors.Is(err, ErrAbsent) || len(s.Endpoints) == 0 {
			return nil, err
		}
		access = apiAccess{config: &rest.Config{}}
	}
	c := &apiserverCheck{
		settings: *s, root: root, access: access,
		logger:  log.With(env.Logger, "check", "apiserver"),
		latency: apiSeconds.Histogram(env.Registry),
	}
	if c.targets, err = c.targetsFor(access); err != nil {
		return nil, err
	}
	c.stamp = access.stamp()
	return c, nil
}

// targetsFor builds what is asked: the endpoints and the Service, each once.
func (c *apiserverCheck) targetsFor(access apiAccess) ([]*apiTarget, error) {
	addresses := c.settings.Endpoints
	if len(addresses) == 0 {
		addresses = []string{access.config.Host}
	}
	service := c.settings.ServiceAddress
	if service == "" {
		service = serviceAddress()
	}
	if service != "" {
		addresses = append(addresses[:len(addresses):len(addresses)], "https://"+service)
	}
	var targets []*apiTarget
	seen := make(map[string]bool)
	for _, address := range addresses {
		base, _, err := rest.DefaultServerUrlFor(&rest.Config{Host: address, TLSClientConfig: access.config.TLSClientConfig})
		if err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", clip(address, 100), err)
		}
		if seen[base.Host] {
			continue
		}
		seen[base.Host] = true
		client, transport, err := access.client(c.settings.ServerName)
		if err != nil {
			return nil, fmt.Errorf("credentials for %s: %w", base.Host, err)
		}
		targets = append(targets, &apiTarget{
			base: &url.URL{Scheme: base.Scheme, Host: base.Host, Path: base.Path}, subject: base.Host,
			client: client, transport: transport, settings: &c.settings, latency: c.latency,
		})
	}
	return targets, nil
}

// Name is the check's name.
func (c *apiserverCheck) Name() string { return "apiserver" }

// Collect asks every endpoint at once.
func (c *apiserverCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	var asked parallel
	for _, t := range c.renew() {
		asked.run(func() { t.look(ctx, r) })
	}
	asked.wait()
	return nil
}

// Close ends the idle connections.
func (c *apiserverCheck) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.targets {
		t.transport.CloseIdleConnections()
	}
	return nil
}

// renew returns what is to be asked, anew when the kubeconfig has changed.
// One that cannot be read leaves the old credentials in use.
func (c *apiserverCheck) renew() []*apiTarget {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.access.stamp()
	if now == c.stamp {
		return c.targets
	}
	c.stamp = now
	access, err := findAccess(c.settings.Kubeconfig, c.root)
	if err == nil {
		var targets []*apiTarget
		if targets, err = c.targetsFor(access); err == nil {
			for _, t := range c.targets {
				t.transport.CloseIdleConnections()
			}
			c.access, c.targets, c.stamp = access, targets, access.stamp()
			return c.targets
		}
	}
	level.Warn(c.logger).Log("msg", "credentials have changed and cannot be read; going on with the old ones", "err", err)
	return c.targets
}
