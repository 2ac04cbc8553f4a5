package collectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the certificates check exports. Labels: path is the file's on the
// node; common_name is the certificate's.
var (
	certExpiry = Metric{
		Name: "grapevine_certificates_expiry_timestamp_seconds", Type: health.Gauge, Labels: []string{"path", "common_name"},
		Help: "When the certificate expires, in seconds since the epoch; of several authorities of one name in a file, the last.",
	}
	certReadable = Metric{
		Name: "grapevine_certificates_readable", Type: health.Gauge, Labels: []string{"path"},
		Help: "Whether the file could be read and all of its certificates were understood.",
	}
	certVerified = Metric{
		Name: "grapevine_certificates_chain_verified", Type: health.Gauge, Labels: []string{"path"},
		Help: "Whether the certificates in the file were signed by the authority that belongs to them, where it is known.",
	}
	certKeyMatches = Metric{
		Name: "grapevine_certificates_key_matches", Type: health.Gauge, Labels: []string{"path"},
		Help: "Whether the private key belongs to the certificate, where both can be read.",
	}
	certFiles = Metric{
		Name: "grapevine_certificates_files", Type: health.Gauge,
		Help: "Files with certificates that were looked at.",
	}
	certSurplus = Metric{
		Name: "grapevine_certificates_surplus_files", Type: health.Gauge,
		Help: "Files with certificates that were left out, because there are too many.",
	}
)

func certificatesSpec() Spec {
	return Spec{
		Name:    "certificates",
		Summary: "every certificate of kubeadm, k3s, RKE2, the kubelet and kubeconfigs on this node: expiry, chain, key and names",
		Why:     "When one of them expires or does not fit, a component is shut out from one minute to the next, and often all control planes on the same day.",
		Remedy:  "Look at it: openssl x509 -noout -text -in FILE. Renew with kubeadm certs renew, k3s certificate rotate or rke2 certificate rotate and restart what uses it; when the kubelet does not renew its own, look at its log and at kubectl get csr.",
		Subject: "path of the file; \"more files\" for what is left out",
		Metrics: []Metric{certExpiry, certReadable, certVerified, certKeyMatches, certFiles, certSurplus},
		Settings: func() Settings {
			return defaultCertificatesSettings()
		},
	}
}

// certificatesCheck judges what the scanner found.
type certificatesCheck struct {
	settings certificatesSettings
	scanner  certScanner
	now      func() time.Time
	last     *certsFound // of the newest scan that ended; nil before
}

// New looks whether any of the folders is here.
func (s *certificatesSettings) New(env Env) (Collector, error) {
	c := &certificatesCheck{settings: *s, now: time.Now}
	c.scanner = certScanner{paths: env.Paths, folders: certFolders, settings: &c.settings, node: env.Node}
	if len(s.Paths) > 0 {
		return c, nil
	}
	var looked []string
	for _, folder := range certFolders {
		for _, rule := range folder.rules {
			place := folder.within(rule.file)
			if folder.walk || strings.Contains(rule.file, "*") {
				place = folder.path
			}
			if _, err := os.Lstat(env.Paths.inRoot(place)); err == nil || errors.Is(err, fs.ErrPermission) {
				return c, nil
			}
		}
		looked = append(looked, folder.path)
	}
	return nil, fmt.Errorf("a certificate of Kubernetes is %w: none in %s, and no paths are configured", ErrAbsent, strings.Join(looked, ", "))
}

// Name is the check's name.
func (c *certificatesCheck) Name() string { return "certificates" }

// Collect looks at all files and judges each. While a file does not let
// itself be read, the others are judged by what is known of them.
func (c *certificatesCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	scan := c.scanner.look(ctx)
	select {
	case <-scan.done:
		if _, _, raised := scan.now(); raised != nil {
			panic(raised)
		}
		c.last = scan.found
	default:
		path, since, _ := scan.now()
		waited := time.Since(since).Seconds()
		r.Sample(&certReadable, 0, clip(path, 200))
		r.Verdict(clip(path, 200), health.Unknown,
			clip(fmt.Sprintf("%s cannot be read: the kernel has not answered for %.0f s; look at the disk it lies on", path, waited), maxReason),
			health.Evidence{Value: waited, Unit: "seconds"})
		if c.last == nil {
			return nil
		}
		c.judgeAll(r, c.last, path)
		return nil
	}
	c.judgeAll(r, c.last, "")
	return nil
}

// judgeAll judges every file but the one at skipped.
func (c *certificatesCheck) judgeAll(r *Report, found *certsFound, skipped string) {
	now := c.now()
	for i := range found.files {
		if file := &found.files[i]; file.place.path != skipped {
			c.judge(r, found, file, now)
		}
	}
	r.Sample(&certFiles, float64(len(found.files)))
	r.Sample(&certSurplus, float64(len(found.surplus)))
	for _, dir := range found.refused {
		r.Verdict(clip(dir, 200), health.Unknown, clip(dir+" may not be read by this user, so that nothing is known of the certificates in it; run the agent as root", maxReason), health.Evidence{})
	}
	more := &assessment{about: "more files"}
	if n := len(found.surplus); n > 0 {
		more.add(health.Warning, "with certificates are on this node than are looked at: %d are left out, such as %s; leave out others by ignore",
			n, clip(strings.Join(found.surplus[:min(n, 3)], ", "), 150))
	}
	if n := len(found.cut); n > 0 {
		more.add(health.Warning, "than can be read lie below %s", clip(strings.Join(found.cut[:min(n, 3)], ", "), 150))
	}
	if len(more.findings) > 0 {
		more.verdict(r, "more files")
	}
}
