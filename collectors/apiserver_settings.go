package collectors

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// apiserverSettings is the block "apiserver" of the configuration file.
type apiserverSettings struct {
	Timing `yaml:",inline"`

	// Endpoints are URLs of API servers, "https://10.0.0.1:6443". Empty
	// means the one that the kubeconfig or service account names.
	Endpoints []string `yaml:"endpoints"`
	// Kubeconfig is the file with the credentials. Empty means the first
	// that is found: $KUBECONFIG, ~/.kube/config, the pod's service account,
	// and the files kubeadm, k3s and RKE2 leave on a node.
	Kubeconfig string `yaml:"kubeconfig"`
	// ServiceAddress is host:port of the API's Service, asked beside the
	// endpoints. Empty means the one a pod is told by its environment, else
	// that of the Service kubernetes once a node with a kube-proxy can connect
	// to it. none means that it is not asked.
	ServiceAddress string `yaml:"service_address"`
	// Instances says where the other API servers of the cluster, found by
	// the endpoints of the Service, are asked one by one: auto (on nodes that
	// run an API server themselves), all (on every node) or none.
	Instances string `yaml:"instances"`
	// ServerName is the name to look for in the certificate, when the
	// endpoint is asked by another one, such as 127.0.0.1.
	ServerName string `yaml:"server_name"`

	// GetPath is the object to get, ListPath the resource to list one item of.
	GetPath  string `yaml:"get_path"`
	ListPath string `yaml:"list_path"`

	// Admission is a create that is not stored.
	Admission apiAdmission `yaml:"admission"`

	Thresholds apiserverThresholds `yaml:"thresholds"`
}

// serviceNone in place of an address keeps the Service from being asked.
const serviceNone = "none"

// Where instances are looked up.
const (
	instancesAuto = "auto"
	instancesAll  = "all"
	instancesNone = "none"
)

// apiserverThresholds are held against single requests. One second is the
// objective Kubernetes publishes for the 99th percentile of reads and writes
// of one object (SIG Scalability, API call latency SLI/SLO); critical is three
// times that, before most clients give up.
type apiserverThresholds struct {
	GetLatency    DurationLimits `yaml:"get_latency"`
	ListLatency   DurationLimits `yaml:"list_latency"`
	CreateLatency DurationLimits `yaml:"create_latency"`
	// Certificate is the time left to the endpoint's certificate.
	Certificate ExpiryLimits `yaml:"certificate"`
}

func defaultAPIServerSettings() *apiserverSettings {
	oneObject := DurationLimits{Warning: time.Second, Critical: 3 * time.Second}
	return &apiserverSettings{
		Timing: Timing{Interval: 10 * time.Second, Timeout: 4 * time.Second, FailureThreshold: 2, SuccessThreshold: 2},
		// Every cluster has them, and a kubelet's own credentials are enough.
		GetPath:    "/api/v1/namespaces/default/services/kubernetes",
		ListPath:   "/api/v1/services",
		Instances:  instancesAuto,
		Admission:  apiAdmission{Namespace: "default"},
		Thresholds: apiserverThresholds{GetLatency: oneObject, ListLatency: oneObject, CreateLatency: oneObject, Certificate: defaultExpiry()},
	}
}

// Validate names the first impossible value by its key.
func (s *apiserverSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	if err := validateEndpoints(s.Endpoints); err != nil {
		return err
	}
	if s.ServiceAddress != "" && s.ServiceAddress != serviceNone {
		if err := validateHostPort(s.ServiceAddress); err != nil {
			return fmt.Errorf("service_address: %w", err)
		}
	}
	for key, path := range map[string]string{"get_path": s.GetPath, "list_path": s.ListPath} {
		if _, err := requestPath(path); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	switch s.Instances {
	case instancesAuto, instancesAll, instancesNone:
	default:
		return fmt.Errorf("instances: %q is none of auto, all, none", clip(s.Instances, 40))
	}
	if err := s.Admission.validate(); err != nil {
		return err
	}
	if err := s.Thresholds.Certificate.validate("certificate"); err != nil {
		return err
	}
	return validateLimits(
		namedLimits{"get_latency", s.Thresholds.GetLatency.seconds(), false},
		namedLimits{"list_latency", s.Thresholds.ListLatency.seconds(), false},
		namedLimits{"create_latency", s.Thresholds.CreateLatency.seconds(), false},
	)
}

// requestPath accepts a path below /api or /apis, without host or query.
func requestPath(path string) (*url.URL, error) {
	u, err := url.Parse(path)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "" || u.Host != "" || u.RawQuery != "" || !strings.HasPrefix(u.Path, "/api/") && !strings.HasPrefix(u.Path, "/apis/") {
		return nil, errors.New(clip(path, 100) + " is not a path such as /api/v1/namespaces")
	}
	return u, nil
}
