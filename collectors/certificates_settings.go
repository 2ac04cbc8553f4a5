package collectors

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// certificatesSettings is the block "certificates" of the configuration file.
type certificatesSettings struct {
	Timing `yaml:",inline"`

	// Paths are more certificates to look at, beside those that kubeadm, k3s,
	// RKE2 and the kubelet keep: files, folders with all below them, or
	// patterns such as /etc/etcd/*.crt, with wildcards in the last part only.
	// Kubeconfigs are told by their content.
	Paths []string `yaml:"paths"`
	// Ignore are files to leave out: paths, or patterns as in Paths.
	Ignore []string `yaml:"ignore"`

	Thresholds certificatesThresholds `yaml:"thresholds"`
}

// certificatesThresholds are held against the certificates.
type certificatesThresholds struct {
	// Expiry is the time left, by kubernetes-mixin. For those that live short
	// it is a tenth and a thirtieth of their life, if that is less.
	Expiry ExpiryLimits `yaml:"expiry"`
	// AuthorityExpiry is the same for an authority. To replace one is the
	// work of days on every node.
	AuthorityExpiry ExpiryLimits `yaml:"authority_expiry"`
	// LifeUsed is the ratio of a certificate's life that is over, for those
	// that the kubelet renews by itself: it does at 70 to 90 %.
	LifeUsed Limits `yaml:"life_used"`
}

func defaultCertificatesSettings() *certificatesSettings {
	const day = 24 * time.Hour
	return &certificatesSettings{
		Timing: Timing{Interval: 5 * time.Minute, Timeout: time.Minute, FailureThreshold: 1, SuccessThreshold: 1},
		Thresholds: certificatesThresholds{
			Expiry:          defaultExpiry(),
			AuthorityExpiry: ExpiryLimits{Warning: 30 * day, Critical: 7 * day},
			LifeUsed:        Limits{Warning: 0.95},
		},
	}
}

// Validate names the first impossible value by its key.
func (s *certificatesSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	for key, paths := range map[string][]string{"paths": s.Paths, "ignore": s.Ignore} {
		for _, p := range paths {
			if _, err := path.Match(p, ""); err != nil || !filepath.IsAbs(p) || strings.ContainsAny(path.Dir(p), `*?[\`) {
				return fmt.Errorf("%s: %q is not an absolute path with wildcards in its last part only", key, clip(p, 100))
			}
		}
	}
	t := s.Thresholds
	if err := errors.Join(t.Expiry.validate("expiry"), t.AuthorityExpiry.validate("authority_expiry")); err != nil {
		return err
	}
	return validateLimits(namedLimits{"life_used", t.LifeUsed, true})
}
