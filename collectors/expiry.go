package collectors

import (
	"fmt"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// ExpiryLimits are what the time left to a certificate is held against: from
// Warning down it is a warning, from Critical down it is critical. Zero
// switches a level off; a certificate that has expired is critical anyway.
type ExpiryLimits struct {
	Warning  time.Duration `yaml:"warning"`
	Critical time.Duration `yaml:"critical"`
}

// defaultExpiry are the limits of KubeClientCertificateExpiration in
// kubernetes-mixin: 7 days, and 24 hours.
func defaultExpiry() ExpiryLimits {
	return ExpiryLimits{Warning: 7 * 24 * time.Hour, Critical: 24 * time.Hour}
}

func (l ExpiryLimits) validate(key string) error {
	switch {
	case l.Warning < 0 || l.Critical < 0:
		return fmt.Errorf("thresholds: %s: below zero", key)
	case l.Warning > 0 && l.Critical > l.Warning:
		return fmt.Errorf("thresholds: %s: critical is above warning, which is reached first", key)
	}
	return nil
}

// expiry records a finding when the certificate of the subject expires soon,
// at the time given. Zero means that none is known.
func (a *assessment) expiry(at, now time.Time, limits ExpiryLimits) {
	if at.IsZero() {
		return
	}
	left := at.Sub(now)
	f := finding{evidence: health.Evidence{Value: left.Seconds(), Unit: "seconds"}}
	switch {
	case left <= 0:
		f.status, f.text = health.Critical, "has a certificate that has expired on "+day(at)
	case left <= limits.Critical:
		f.status, f.evidence.Threshold = health.Critical, limits.Critical.Seconds()
	case left <= limits.Warning:
		f.status, f.evidence.Threshold = health.Warning, limits.Warning.Seconds()
	default:
		return
	}
	if left > 0 {
		f.text = fmt.Sprintf("has a certificate that expires in %s, on %s", timeLeft(left), day(at))
	}
	a.findings = append(a.findings, f)
}

// timeLeft words a long time: "3.5 days", "7 h", "12 min", "40 s".
func timeLeft(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= 90*time.Minute:
		return fmt.Sprintf("%.0f h", d.Hours())
	case d >= 90*time.Second:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
