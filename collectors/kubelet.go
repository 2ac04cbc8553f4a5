package collectors

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the kubelet check exports. The node here is the API's object.
var (
	kubeletUp = Metric{
		Name: "grapevine_kubelet_up", Type: health.Gauge,
		Help: "Whether the kubelet of this node answered /healthz.",
	}
	kubeletCheckUp = Metric{
		Name: "grapevine_kubelet_check_up", Type: health.Gauge, Labels: []string{"name"},
		Help: "Whether the kubelet's own check of that name passed: syncloop, and what else its /healthz lists.",
	}
	kubeletSeconds = Metric{
		Name: "grapevine_kubelet_healthz_duration_seconds", Type: health.Histogram,
		Help:    "Time of answered /healthz requests, without connecting.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	}
	kubeletLast = Metric{
		Name: "grapevine_kubelet_healthz_last_duration_seconds", Type: health.Gauge,
		Help: "Time the last /healthz request took without connecting; when it failed, the time until then.",
	}
	kubeletCertificate = Metric{
		Name: "grapevine_kubelet_certificate_expiry_timestamp_seconds", Type: health.Gauge,
		Help: "When the certificate expires that the kubelet shows to those who connect, in seconds since the epoch.",
	}
	kubeletAPISuccess = Metric{
		Name: "grapevine_kubelet_api_success", Type: health.Gauge, Labels: []string{"object"},
		Help: "Whether the API server could last be asked for this node's lease and its node object.",
	}
	kubeletLeaseAge = Metric{
		Name: "grapevine_kubelet_lease_age_seconds", Type: health.Gauge,
		Help: "Time since the kubelet last renewed this node's lease, by the clock of this node, which writes it.",
	}
	kubeletNodeAge = Metric{
		Name: "grapevine_kubelet_node_age_seconds", Type: health.Gauge,
		Help: "Time since the node object was last read from the API server.",
	}
	kubeletHeartbeatAge = Metric{
		Name: "grapevine_kubelet_heartbeat_age_seconds", Type: health.Gauge,
		Help: "Time since the kubelet last wrote the condition Ready, which it does at least every five minutes.",
	}
	kubeletCondition = Metric{
		Name: "grapevine_kubelet_condition", Type: health.Gauge, Labels: []string{"condition"},
		Help: "The node's conditions as the API has them: 1 true, 0 false, -1 unknown.",
	}
	kubeletUnschedulable = Metric{
		Name: "grapevine_kubelet_unschedulable", Type: health.Gauge,
		Help: "Whether the node is cordoned.",
	}
	kubeletTaints = Metric{
		Name: "grapevine_kubelet_taints", Type: health.Gauge, Labels: []string{"effect"},
		Help: "Taints of the node, by effect.",
	}
)

func kubeletSpec() Spec {
	return Spec{
		Name:    "kubelet",
		Summary: "the kubelet's health, its lease and certificate, and what the API believes of this node",
		Why:     "A node whose kubelet is stuck runs the pods it had and takes no new ones; after 40 seconds without a sign the cluster begins to move them away.",
		Remedy:  "On the node: curl -s 'http://127.0.0.1:10248/healthz?verbose', then the kubelet's log. When the container runtime is bad too, that is the cause; when only lease and node object are old, look at the way to the API server.",
		Subject: "`healthz`, `lease` or `node` (the API's object)",
		Metrics: []Metric{
			kubeletUp, kubeletCheckUp, kubeletSeconds, kubeletLast, kubeletCertificate, kubeletAPISuccess, kubeletLeaseAge,
			kubeletNodeAge, kubeletHeartbeatAge, kubeletCondition, kubeletUnschedulable, kubeletTaints,
		},
		Workload: true,
		Settings: func() Settings { return defaultKubeletSettings() },
	}
}

type kubeletCheck struct {
	settings  kubeletSettings
	health    string // URL
	latency   *prometheus.HistogramVec
	client    *http.Client // for the open health endpoint
	serving   *http.Client // for its own API
	transport []*http.Transport
	api       *kubeAPI // nil without credentials
	apiAbsent string   // why it is nil
	nodeName  string   // as the API knows this node

	mu   sync.Mutex // guards what follows; runs do not overlap
	node nodeObject // as last read
	read time.Time  // when; zero: never
}

// New finds the kubelet of this node. Without credentials for the API server
// only the kubelet itself is asked.
func (s *kubeletSettings) New(env Env) (Collector, error) {
	if s.HealthURL == "" && !onKubernetes(env.Paths) {
		return nil, fmt.Errorf("a kubelet is %w: none of %v exists", ErrAbsent, kubeletTraces)
	}
	c := &kubeletCheck{settings: *s, health: s.HealthURL, latency: kubeletSeconds.Histogram(env.Registry)}
	if c.health == "" {
		c.health = readKubeletConfig(env.Paths).healthURL()
	}
	api, err := openKubeAPI(s.Kubeconfig, env)
	switch {
	case err == nil:
		c.api, c.nodeName = api, api.nodeName(s.NodeName, env)
	case errors.Is(err, ErrAbsent):
		c.apiAbsent = err.Error()
	default:
		return nil, err
	}
	client, transport := newHTTPClient(nil)
	serving, servingTransport, err := c.api.servingClient(s.ServingAddress, c.nodeName)
	if err != nil {
		return nil, err
	}
	c.client, c.serving, c.transport = client, serving, []*http.Transport{transport, servingTransport}
	return c, nil
}

// Name is the check's name.
func (c *kubeletCheck) Name() string { return "kubelet" }

// Collect asks the kubelet and the API server at once.
func (c *kubeletCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	var asked parallel
	asked.run(func() { c.lookHealth(ctx, r) })
	asked.run(func() { c.lookLease(ctx, r) })
	asked.run(func() { c.lookNode(ctx, r) })
	asked.wait()
	return nil
}

// Close ends the idle connections.
func (c *kubeletCheck) Close() error {
	for _, t := range c.transport {
		t.CloseIdleConnections()
	}
	if c.api != nil {
		return c.api.Close()
	}
	return nil
}
