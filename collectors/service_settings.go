package collectors

import (
	"fmt"
	"net"
	"net/url"
	"time"
)

// serviceSettings is the block "service" of the configuration file.
type serviceSettings struct {
	Timing `yaml:",inline"`

	// ServiceAddress is host:port of the API's Service. Empty means the one a
	// pod is told by its environment, else what the API says.
	ServiceAddress string `yaml:"service_address"`
	// NodePorts are host:port of node ports that must be reached from here.
	NodePorts []string `yaml:"node_ports"`
	// ProxyHealthURL is where kube-proxy says how it is. Empty: not asked.
	ProxyHealthURL string `yaml:"proxy_health_url"`
	// Kubeconfig is the file with credentials for the API server, found as in
	// the check apiserver when empty.
	Kubeconfig string `yaml:"kubeconfig"`

	Thresholds serviceThresholds `yaml:"thresholds"`
}

// serviceThresholds: a packet that is lost is sent again after one second
// (RFC 6298), after three when the second is lost too.
type serviceThresholds struct {
	Connect DurationLimits `yaml:"connect"`
}

// maxNodePorts bounds what is connected to in one run.
const maxNodePorts = 32

func defaultServiceSettings() *serviceSettings {
	return &serviceSettings{
		// Each run costs an API server a TLS handshake, on every node.
		Timing:         Timing{Interval: 30 * time.Second, Timeout: 8 * time.Second, FailureThreshold: 2, SuccessThreshold: 2},
		ProxyHealthURL: "http://127.0.0.1:10256/healthz",
		Thresholds:     serviceThresholds{Connect: DurationLimits{Warning: time.Second, Critical: 3 * time.Second}},
	}
}

// Validate names the first impossible value by its key.
func (s *serviceSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	if s.ServiceAddress != "" {
		if err := validateHostPort(s.ServiceAddress); err != nil {
			return fmt.Errorf("service_address: %w", err)
		}
	}
	if len(s.NodePorts) > maxNodePorts {
		return fmt.Errorf("node_ports: %d are more than %d", len(s.NodePorts), maxNodePorts)
	}
	for _, address := range s.NodePorts {
		if err := validateHostPort(address); err != nil {
			return fmt.Errorf("node_ports: %w", err)
		}
	}
	if u, err := url.Parse(s.ProxyHealthURL); err != nil || s.ProxyHealthURL != "" && (u.Scheme != "http" || u.Host == "") {
		return fmt.Errorf("proxy_health_url: %q is not a URL such as http://127.0.0.1:10256/healthz", clip(s.ProxyHealthURL, 100))
	}
	return validateLimits(namedLimits{"connect", s.Thresholds.Connect.seconds(), false})
}

// validateHostPort accepts host:port.
func validateHostPort(address string) error {
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return fmt.Errorf("%q is not host:port", clip(address, 100))
	}
	return nil
}
