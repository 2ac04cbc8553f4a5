package collectors

import (
	"errors"
	"time"
)

// defaultLeaseNamespace is where components of the control plane keep theirs.
const defaultLeaseNamespace = "kube-system"

// electedSettings are the blocks "scheduler" and "controller-manager" of the
// configuration file.
type electedSettings struct {
	Timing `yaml:",inline"`

	part *elected

	// Endpoints are URLs of instances, "https://10.0.0.1:10259". Empty means
	// the one on this node, as its manifest says.
	Endpoints []string `yaml:"endpoints"`
	// CAFile verifies the endpoints. Empty means the certificate the instance
	// is started with, if its manifest names one, and the CA of the API
	// server. What neither verifies, such as the certificate that kubeadm's
	// instances make for themselves and keep in memory, is accepted from a
	// loopback address only.
	CAFile string `yaml:"ca_file"`
	// ServerName is the name to look for in the certificate, when the
	// endpoint is asked by another one.
	ServerName string `yaml:"server_name"`
	// InsecureSkipVerify accepts any certificate from anywhere.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`

	// LeaderElection is whether to look at the lease.
	LeaderElection bool   `yaml:"leader_election"`
	LeaseNamespace string `yaml:"lease_namespace"`
	LeaseName      string `yaml:"lease_name"`
	// Kubeconfig is the file with the credentials to read the lease with.
	// Empty means the component's own, and then those that the check
	// apiserver looks for.
	Kubeconfig string `yaml:"kubeconfig"`
	// Hostname is what this node's instance calls its machine in the lease.
	// Empty means this node's.
	Hostname string `yaml:"hostname"`

	Thresholds electedThresholds `yaml:"thresholds"`
}

// electedThresholds are held against what one run sees.
type electedThresholds struct {
	// LeaseAge in parts of the lease's duration. Of the 15 s that Kubernetes
	// sets by default, the critical limit is 10 s, the deadline by which a
	// leader that is alive has renewed it or gives up (renewDeadline), and the
	// warning is 6 s, three times the period of renewal (retryPeriod).
	LeaseAge Limits `yaml:"lease_age"`
	// Certificate is held against the time left, as kubernetes-mixin does.
	Certificate ExpiryLimits `yaml:"certificate"`
}

func defaultElectedSettings(part *elected) *electedSettings {
	return &electedSettings{
		// So often that a leader which hangs is known, and confirmed, before
		// its lease runs out.
		Timing:         Timing{Interval: 3 * time.Second, Timeout: 2400 * time.Millisecond, FailureThreshold: 2, SuccessThreshold: 2},
		part:           part,
		LeaderElection: true,
		LeaseNamespace: defaultLeaseNamespace,
		LeaseName:      part.program,
		Thresholds: electedThresholds{
			LeaseAge:    Limits{Warning: 0.4, Critical: 0.67},
			Certificate: defaultExpiry(),
		},
	}
}

// Validate names the first impossible value by its key.
func (s *electedSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	if err := validateEndpoints(s.Endpoints); err != nil {
		return err
	}
	switch {
	case s.CAFile != "" && s.InsecureSkipVerify:
		return errors.New("insecure_skip_verify: and ca_file: only one of them")
	case s.LeaseName == "" || s.LeaseNamespace == "":
		return errors.New("lease_name: and lease_namespace: neither may be empty; to leave the lease alone set leader_election to false")
	}
	if err := s.Thresholds.Certificate.validate("certificate"); err != nil {
		return err
	}
	return validateLimits(namedLimits{"lease_age", s.Thresholds.LeaseAge, false})
}
