package collectors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the service check exports. Labels: address is the cluster address of
// the API's Service, or a node port, as host:port.
var (
	serviceUp = Metric{
		Name: "grapevine_service_up", Type: health.Gauge, Labels: []string{"address"},
		Help: "Whether the service was reached from this node at its cluster address or node port.",
	}
	serviceSeconds = Metric{
		Name: "grapevine_service_connect_duration_seconds", Type: health.Histogram, Labels: []string{"address"},
		Help:    "Time to connect to the service, for attempts that succeeded.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	}
	serviceLast = Metric{
		Name: "grapevine_service_connect_last_duration_seconds", Type: health.Gauge, Labels: []string{"address"},
		Help: "Time the last attempt to connect took; when it failed, the time until then.",
	}
	serviceProxyUp = Metric{
		Name: "grapevine_service_proxy_up", Type: health.Gauge,
		Help: "Whether kube-proxy on this node answered that it is well; absent where nothing listens on its health port, as with other implementations of services.",
	}
	serviceProxyAge = Metric{
		Name: "grapevine_service_proxy_update_age_seconds", Type: health.Gauge,
		Help: "Time since kube-proxy last brought its rules up to date, by its own word.",
	}
)

func serviceSpec() Spec {
	return Spec{
		Name:     "service",
		Summary:  "services as this node reaches them: the API's cluster address, node ports, and kube-proxy",
		Why:      "Pods find everything by services. When kube-proxy's rules are gone or old on one node, its pods lose DNS and the API while the node looks healthy.",
		Remedy:   "On the node: curl -k https://CLUSTER-IP/livez, then the rules (nft list table ip kube-proxy, or iptables-save | grep KUBE), and kube-proxy's log. Its restart writes all rules anew.",
		Subject:  "host:port of the service; `kube-proxy`",
		Metrics:  []Metric{serviceUp, serviceSeconds, serviceLast, serviceProxyUp, serviceProxyAge},
		Workload: true,
		Settings: func() Settings { return defaultServiceSettings() },
	}
}

type serviceCheck struct {
	settings serviceSettings
	latency  *prometheus.HistogramVec
	api      *kubeAPI // nil without credentials
	proxy    *http.Client
	idle     *http.Transport

	mu     sync.Mutex // guards what follows
	found  string     // host:port of the API's Service; empty: not known yet
	absent string     // why it is not
}

// New needs credentials or an address; elsewhere than on a Kubernetes node it
// is absent.
func (s *serviceSettings) New(env Env) (Collector, error) {
	c := &serviceCheck{settings: *s, latency: serviceSeconds.Histogram(env.Registry), found: s.ServiceAddress}
	if c.found == "" {
		c.found = serviceAddress()
	}
	if c.found == "" && len(s.NodePorts) == 0 && s.Kubeconfig == "" && !onKubernetes(env.Paths) {
		return nil, fmt.Errorf("a Kubernetes node is %w: none of %v exists, and no address is configured", ErrAbsent, kubeletTraces)
	}
	api, err := openKubeAPI(s.Kubeconfig, env)
	switch {
	case err == nil:
		c.api = api
	case errors.Is(err, ErrAbsent):
		c.absent = err.Error()
	default:
		return nil, err
	}
	c.proxy, c.idle = newHTTPClient(nil)
	return c, nil
}

// Name is the check's name.
func (c *serviceCheck) Name() string { return "service" }

// Close ends the idle connections.
func (c *serviceCheck) Close() error {
	c.idle.CloseIdleConnections()
	if c.api != nil {
		return c.api.Close()
	}
	return nil
}

// Collect tries every address at once.
func (c *serviceCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	var asked parallel
	asked.run(func() { c.lookAPI(ctx, r) })
	for _, address := range c.settings.NodePorts {
		asked.run(func() { c.lookNodePort(ctx, r, address) })
	}
	asked.run(func() { c.lookProxy(ctx, r) })
	asked.wait()
	return nil
}

// connect opens a new connection, so that it passes the rules as they are now.
func (c *serviceCheck) connect(ctx context.Context, r *Report, a *assessment, address string) (net.Conn, error) {
	begun := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	took := time.Since(begun)
	r.Sample(&serviceLast, took.Seconds(), address)
	if err != nil {
		r.Sample(&serviceUp, 0, address)
		return nil, errors.New(cause(err, took))
	}
	c.latency.WithLabelValues(address).Observe(took.Seconds())
	limits := c.settings.Thresholds.Connect.seconds()
	_, limit := limits.judge(0)
	a.measured = health.Evidence{Value: took.Seconds(), Threshold: limit, Unit: "seconds"}
	a.hold(took.Seconds(), limits, "seconds", "took %s to connect", seconds(took.Seconds()))
	return conn, nil
}

// lookNodePort connects, and no more: what listens behind it is unknown.
func (c *serviceCheck) lookNodePort(ctx context.Context, r *Report, address string) {
	a := &assessment{about: "node port " + address}
	conn, err := c.connect(ctx, r, a, address)
	if err == nil {
		r.Sample(&serviceUp, 1, address)
		_ = conn.Close()
	} else {
		a.add(health.Critical, "cannot be reached: %v", err)
	}
	a.verdict(r, address)
}
