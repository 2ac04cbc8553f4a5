// Package smoke proves that a cluster does its job: it has pods scheduled,
// lets them talk, and takes them away again. A run leaves nothing behind, even
// when it is killed. It stands beside collectors and knows nothing of the mesh.
package smoke

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// DefaultImage is what smoke-image prints. Its tag is the version of what the
// runner tells its pods: an image of an older Grapevine with the same tag does.
const DefaultImage = "docker.io/grapevine/smoke:1"

// Settings is the block "smoke" of the configuration file.
type Settings struct {
	// Enabled lets the agents make runs, one of them at a time. It is off
	// until asked for, since it needs rights of its own.
	Enabled bool `yaml:"enabled"`
	// Interval is the time from one run of the cluster to the next.
	Interval time.Duration `yaml:"interval"`
	// Kubeconfig is the file with credentials for the API server, found as in
	// the check apiserver when empty.
	Kubeconfig string `yaml:"kubeconfig"`
	// Namespace holds the pods and nothing else. It is made if it is missing.
	Namespace string `yaml:"namespace"`
	// Image holds the grapevine binary at /grapevine.
	Image string `yaml:"image"`
	// PullPolicy is IfNotPresent, Never or Always.
	PullPolicy string `yaml:"pull_policy"`
	// PriorityClass of the pods; empty: the cluster's default. One with
	// preemptionPolicy Never keeps them from pushing others off a full node.
	PriorityClass string `yaml:"priority_class"`

	// Deadline ends a run, clearing up included. Patience is how long one step
	// may take, and clearing up. Above 11s it tells a dead kubelet from a dead
	// container runtime: a living kubelet renews its lease each 10 s.
	Deadline time.Duration `yaml:"deadline"`
	Patience time.Duration `yaml:"patience"`

	Steps StepSettings `yaml:"steps"`
}

// StepSettings switch steps. The others are taken always.
type StepSettings struct {
	DNS bool `yaml:"dns"`
	API bool `yaml:"api"` // reached from within a pod
	// Logs and Exec go through the API server to the kubelet, and need rights
	// on pods/log and pods/exec.
	Logs bool `yaml:"logs"`
	Exec bool `yaml:"exec"`
	// Policy wants a NetworkPolicy to be enforced; not every network does.
	Policy bool `yaml:"policy"`
	// Volume claims a volume and writes to it.
	Volume       bool   `yaml:"volume"`
	StorageClass string `yaml:"storage_class"` // of the volume; empty: the cluster's default
}

// Default is what holds for all that the file does not say.
func Default() Settings {
	return Settings{
		Interval:   5 * time.Minute,
		Namespace:  "grapevine-smoke",
		Image:      DefaultImage,
		PullPolicy: string(corev1.PullIfNotPresent),
		Deadline:   time.Minute,
		Patience:   15 * time.Second,
		Steps:      StepSettings{DNS: true, API: true},
	}
}

// isReference tells whether s can be the name of an image; the runtime knows it
// better.
func isReference(s string) bool {
	return s != "" && len(s) <= 500 && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("\"'`$;&|<>\\", r)
	})
}

func isSubdomain(s string) bool { return len(validation.IsDNS1123Subdomain(s)) == 0 }

// Validate names the first impossible value by its key.
func (s *Settings) Validate() error {
	policies := []string{string(corev1.PullIfNotPresent), string(corev1.PullNever), string(corev1.PullAlways)}
	switch {
	case s.Interval < time.Minute || s.Interval > 24*time.Hour:
		return fmt.Errorf("interval: %v is not between 1m and 24h", s.Interval)
	case len(validation.IsDNS1123Label(s.Namespace)) > 0:
		return fmt.Errorf("namespace: %.80q is no name of a namespace", s.Namespace)
	case s.Namespace == "default" || strings.HasPrefix(s.Namespace, "kube-"):
		return fmt.Errorf("namespace: %q is that of others; give the smoke tests one of their own", s.Namespace)
	case !isReference(s.Image):
		return fmt.Errorf("image: %.80q is no name of an image", s.Image)
	case !slices.Contains(policies, s.PullPolicy):
		return fmt.Errorf("pull_policy: %.40q is none of %s", s.PullPolicy, strings.Join(policies, ", "))
	case s.PriorityClass != "" && !isSubdomain(s.PriorityClass):
		return fmt.Errorf("priority_class: %.80q is no name of a priority class", s.PriorityClass)
	case s.Patience < 2*time.Second || s.Patience > 5*time.Minute:
		return fmt.Errorf("patience: %v is not between 2s and 5m", s.Patience)
	case s.Deadline < 3*s.Patience:
		return fmt.Errorf("deadline: %v is less than three times the patience of a step, %v", s.Deadline, s.Patience)
	case s.Deadline > s.Interval:
		return fmt.Errorf("deadline: %v is longer than the interval, %v", s.Deadline, s.Interval)
	case s.Steps.StorageClass != "" && !isSubdomain(s.Steps.StorageClass):
		return fmt.Errorf("steps: storage_class: %.80q is no name of a storage class", s.Steps.StorageClass)
	case s.Steps.StorageClass != "" && !s.Steps.Volume:
		return errors.New("steps: storage_class: is of no use without volume: true")
	}
	return nil
}
