package collectors

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
)

func apiserverSpec() Spec {
	return Spec{
		Name:    "apiserver",
		Summary: "liveness, readiness and latency of every API server and of its Service",
		Why:     "Everything in a cluster talks through the API server: when it is slow or not ready, nothing is scheduled, no endpoint is updated, and DNS serves what was true before.",
		Remedy: "Ask it yourself: kubectl get --raw '/readyz?verbose'. When the check etcd fails there, look at etcd and the disk below it first; when one endpoint of several is bad, look at its log and its certificates; " +
			"when only the Service is bad, look at kube-proxy on this node. When an admission webhook fails, repair what it calls, or delete its configuration.",
		Subject:  `endpoint as host:port; "instances" when the other API servers cannot be looked up`,
		Metrics:  apiMetrics,
		Settings: func() Settings { return defaultAPIServerSettings() },
	}
}

// apiserverCheck asks API servers over connections it keeps between runs.
type apiserverCheck struct {
	settings apiserverSettings
	root     string
	proc     string
	logger   log.Logger
	latency  *prometheus.HistogramVec

	mu      sync.Mutex // guards what follows
	access  apiAccess
	stamp   string // of the access in use
	targets []*apiTarget

	discovery apiDiscovery // touched by one run at a time
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
		settings: *s, root: root, proc: env.Paths.Proc, access: access,
		logger:  log.With(env.Logger, "check", "apiserver"),
		latency: apiSeconds.Histogram(env.Registry),
	}
	if c.targets, err = c.targetsFor(access); err != nil {
		return nil, err
	}
	c.stamp = access.stamp()
	return c, nil
}

// targetsFor builds what is asked whatever discovery finds: the instance of
// this node, the endpoints and the Service, each once.
func (c *apiserverCheck) targetsFor(access apiAccess) ([]*apiTarget, error) {
	type place struct {
		address string
		via     apiVia
	}
	var places []place
	if own := ownAPIServer(c.root); own != "" && len(c.settings.Endpoints) == 0 {
		places = append(places, place{"https://" + own, viaOwn})
	}
	for _, endpoint := range c.settings.Endpoints {
		places = append(places, place{endpoint, viaConfigured})
	}
	service := c.settings.ServiceAddress
	switch service {
	case "":
		service = serviceAddress()
	case serviceNone:
		service = ""
	}
	if host := access.config.Host; len(c.settings.Endpoints) == 0 && (service == "" || host != "https://"+service) {
		places = append(places, place{host, viaConfigured})
	}
	if service != "" {
		places = append(places, place{"https://" + service, viaService})
	}
	var targets []*apiTarget
	seen := make(map[string]bool)
	for _, p := range places {
		t, err := c.target(access, p.address, p.via)
		if err != nil {
			return nil, err
		}
		if !seen[t.subject] {
			seen[t.subject] = true
			targets = append(targets, t)
		}
	}
	targets[0].operations = apiOperations
	if c.settings.Admission.Enabled {
		targets[0].operations = append(targets[0].operations[:len(apiOperations):len(apiOperations)], "create")
	}
	return targets, nil
}

// target makes one of an address as a kubeconfig has it.
func (c *apiserverCheck) target(access apiAccess, address string, via apiVia) (*apiTarget, error) {
	base, _, err := rest.DefaultServerUrlFor(&rest.Config{Host: address, TLSClientConfig: access.config.TLSClientConfig})
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", clip(address, 100), err)
	}
	name := c.settings.ServerName
	if name == "" && (via == viaOwn || via == viaDiscovered) {
		// The address of an instance need not stand in its certificate when
		// clients come through a load balancer; what pods ask for must.
		name = "kubernetes.default.svc"
	}
	client, transport, err := access.client(name)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", base.Host, err)
	}
	operations := apiOperations
	if via == viaService {
		operations = serviceOperations // the servers behind it are asked the rest
	}
	return &apiTarget{
		operations: operations,
		base:       &url.URL{Scheme: base.Scheme, Host: base.Host, Path: base.Path}, subject: base.Host, via: via,
		client: client, transport: transport, settings: &c.settings, latency: c.latency,
	}, nil
}

// Name is the check's name.
func (c *apiserverCheck) Name() string { return "apiserver" }

// Collect asks every endpoint at once, and those that discovery brings as
// soon as it has.
func (c *apiserverCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	var asked parallel
	targets := c.renew()
	for _, t := range targets {
		asked.run(func() { t.look(ctx, r) })
	}
	if !time.Now().Before(c.discovery.next) {
		asked.run(func() {
			for _, t := range c.discover(ctx, r, targets) {
				asked.run(func() { t.look(ctx, r) })
			}
		})
	} else {
		c.discovery.report(r)
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
			c.access, c.stamp = access, access.stamp()
			c.targets = c.withDiscovered(targets)
			return c.targets
		}
	}
	level.Warn(c.logger).Log("msg", "credentials have changed and cannot be read; going on with the old ones", "err", err)
	return c.targets
}

// withDiscovered adds to targets what discovery had brought, with the
// credentials of now; c.mu is held.
func (c *apiserverCheck) withDiscovered(targets []*apiTarget) []*apiTarget {
	for _, old := range c.targets {
		if !old.found || has(targets, old.subject) {
			continue
		}
		t, err := c.target(c.access, old.base.String(), old.via)
		if err != nil {
			continue // its address is as good as it was
		}
		t.found = true
		t.missing.Store(old.missing.Load())
		targets = append(targets, t)
	}
	return targets
}
