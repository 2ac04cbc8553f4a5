package collectors

import (
	"errors"
	"time"
)

// podsSettings is the block "pods" of the configuration file.
type podsSettings struct {
	Timing `yaml:",inline"`

	// Namespaces are those whose pods are system pods.
	Namespaces []string `yaml:"namespaces"`
	// Label makes a pod of any namespace a system pod, whatever its value.
	Label string `yaml:"label"`
	// Kubeconfig is the file with credentials for the API server, found as in
	// the check apiserver when empty.
	Kubeconfig string `yaml:"kubeconfig"`
	// NodeName is the node's name in the API, found as in the check kubelet
	// when empty.
	NodeName string `yaml:"node_name"`

	Thresholds podsThresholds `yaml:"thresholds"`
}

type podsThresholds struct {
	// NotReady is how long a pod may take to become ready, or not to be.
	// kubernetes-mixin waits 15 minutes, for any pod; DNS and the network
	// cannot be missed for so long.
	NotReady DurationLimits `yaml:"not_ready"`
	// Restarts of one pod within ten minutes.
	Restarts Limits `yaml:"restarts"`
	// Unheard is the age at which what is known is no longer believed.
	Unheard time.Duration `yaml:"unheard"`
}

// Bounds of what is held and exported.
const (
	maxPods    = 512 // system pods held; a kubelet runs 110 by default
	maxBadPods = 20  // with a verdict of their own
)

func defaultPodsSettings() *podsSettings {
	return &podsSettings{
		Timing:     Timing{Interval: 10 * time.Second, Timeout: 4 * time.Second, FailureThreshold: 2, SuccessThreshold: 3},
		Namespaces: []string{"kube-system"},
		Label:      "grapevine.io/system",
		Thresholds: podsThresholds{
			NotReady: DurationLimits{Warning: 2 * time.Minute, Critical: 10 * time.Minute},
			Restarts: Limits{Warning: 2, Critical: 4},
			Unheard:  4 * time.Minute,
		},
	}
}

// Validate names the first impossible value by its key.
func (s *podsSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	if s.Thresholds.Unheard < 3*time.Minute {
		return errors.New("thresholds: unheard: less than 3m, in which the API server may have nothing to say")
	}
	return validateLimits(
		namedLimits{"not_ready", s.Thresholds.NotReady.seconds(), false},
		namedLimits{"restarts", s.Thresholds.Restarts, false},
	)
}
