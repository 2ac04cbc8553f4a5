package collectors

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"
)

// kubeletSettings is the block "kubelet" of the configuration file.
type kubeletSettings struct {
	Timing `yaml:",inline"`

	// HealthURL is where the kubelet answers /healthz. Empty means what its
	// own configuration says, or http://127.0.0.1:10248.
	HealthURL string `yaml:"health_url"`
	// ServingAddress is host:port of the kubelet's own API, which shows
	// its certificate, and the state of its sync loop to those it lets in.
	ServingAddress string `yaml:"serving_address"`
	// Kubeconfig is the file with credentials for the API server, found as in
	// the check apiserver when empty.
	Kubeconfig string `yaml:"kubeconfig"`
	// NodeName is the node's name in the API. Empty means that of the
	// kubelet's credentials, else the agent's own name.
	NodeName string `yaml:"node_name"`
	// NodeInterval is how often the node object is read, which is large.
	NodeInterval time.Duration `yaml:"node_interval"`

	Thresholds kubeletThresholds `yaml:"thresholds"`
}

type kubeletThresholds struct {
	// Latency of /healthz, which does no work.
	Latency DurationLimits `yaml:"latency"`
	// LeaseAge: the kubelet renews every 10 s; from 40 s on the node lifecycle
	// controller may call the node unknown (node-monitor-grace-period).
	LeaseAge DurationLimits `yaml:"lease_age"`
	// Certificate is the time left: kubernetes-mixin warns at 7 days and
	// pages at 1 day.
	Certificate ExpiryLimits `yaml:"certificate"`
}

func defaultKubeletSettings() *kubeletSettings {
	return &kubeletSettings{
		Timing:         Timing{Interval: 10 * time.Second, Timeout: 4 * time.Second, FailureThreshold: 2, SuccessThreshold: 2},
		ServingAddress: "127.0.0.1:10250",
		NodeInterval:   30 * time.Second,
		Thresholds: kubeletThresholds{
			Latency:     DurationLimits{Warning: time.Second},
			LeaseAge:    DurationLimits{Warning: 25 * time.Second, Critical: 40 * time.Second},
			Certificate: defaultExpiry(),
		},
	}
}

// Validate names the first impossible value by its key.
func (s *kubeletSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	if u, err := url.Parse(s.HealthURL); err != nil || s.HealthURL != "" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("health_url: %q is not a URL such as http://127.0.0.1:10248", clip(s.HealthURL, 100))
	}
	if err := validateHostPort(s.ServingAddress); err != nil {
		return fmt.Errorf("serving_address: %w", err)
	}
	if s.NodeInterval < time.Second || s.NodeInterval > time.Hour {
		return fmt.Errorf("node_interval: %v is not between 1s and 1h", s.NodeInterval)
	}
	if err := s.Thresholds.Certificate.validate("certificate"); err != nil {
		return err
	}
	return validateLimits(
		namedLimits{"latency", s.Thresholds.Latency.seconds(), false},
		namedLimits{"lease_age", s.Thresholds.LeaseAge.seconds(), false},
	)
}

// healthURL is where a kubelet with this configuration tells how it is.
func (c kubeletConfig) healthURL() string {
	host, port := c.HealthzBindAddress, c.HealthzPort
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if port == 0 {
		port = 10248
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(port))
}
