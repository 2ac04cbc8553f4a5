package collectors

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// certJudgement is the judging of one file.
type certJudgement struct {
	c     *certificatesCheck
	found *certsFound
	file  *certFile
	now   time.Time
	*assessment
	verified, chained bool // chained: the authority is known
	soonest           time.Duration
	names             map[string]time.Time // common name -> expiry, for export
}

// bad is critical, or a warning where nothing breaks at once.
func (j *certJudgement) bad() health.Status {
	if j.file.place.rule.minor || j.file.place.folder == nil && !j.file.place.configured {
		return health.Warning
	}
	return health.Critical
}

// judge exports and judges one file.
func (c *certificatesCheck) judge(r *Report, found *certsFound, file *certFile, now time.Time) {
	subject := clip(file.place.path, 200)
	j := &certJudgement{
		c: c, found: found, file: file, now: now, verified: true, names: make(map[string]time.Time),
		assessment: &assessment{about: subject},
	}
	readable := file.err == nil
	if file.err != nil {
		if errors.Is(file.err, errNoCertificate) && j.bad() == health.Warning && strings.HasSuffix(subject, ".pem") {
			return // keys and parameters are called so, too
		}
		j.unread()
	}
	key := keyNotSeen
	for i := range file.bundles {
		b := &file.bundles[i]
		readable = readable && b.broken == ""
		j.bundle(b)
		if b.key != keyNotSeen && key != keyDiffers && key != keyBroken {
			key = b.key
		}
	}
	if readable && len(j.names) == 0 && len(j.findings) == 0 {
		return // a kubeconfig that names files, or holds a token
	}
	for name, expiry := range j.names {
		r.Sample(&certExpiry, float64(expiry.Unix()), subject, name)
	}
	r.Sample(&certReadable, boolean(readable), subject)
	if j.chained {
		r.Sample(&certVerified, boolean(j.verified), subject)
	}
	if key != keyNotSeen {
		r.Sample(&certKeyMatches, boolean(key == keyFits), subject)
	}
	j.verdict(r, subject)
}

func (j *certJudgement) unread() {
	err := j.file.err
	switch {
	case errors.Is(err, fs.ErrPermission):
		j.add(health.Unknown, "may not be read by this user; run the agent as root")
	case errors.Is(err, fs.ErrNotExist):
		j.add(j.bad(), "does not exist, or is a link to a file that does not")
	case errors.Is(err, errNoRegularFile):
		j.add(j.bad(), "is not a regular file")
	case errors.Is(err, errTooLarge):
		j.add(j.bad(), "is larger than %s, which no certificate is", size(maxCertFile))
	case errors.Is(err, errNoCertificate), errors.Is(err, errNoKubeconfig):
		j.add(j.bad(), "%v", err)
	default:
		j.add(j.bad(), "cannot be read: %s", cause(err, 0))
	}
}

func (j *certJudgement) bundle(b *certBundle) {
	if b.broken != "" {
		what := "a certificate in it"
		if b.name != "" {
			what = "the certificate of " + b.name
		}
		j.add(j.bad(), "%s cannot be read: %s", what, b.broken)
	}
	if b.more > 0 {
		j.add(health.Warning, "has %d certificates more than the %d that were looked at", b.more, maxCerts)
	}
	if len(b.certs) == 0 {
		return
	}
	rule := j.file.place.rule
	known := rule.ca != "" || rule.authority || len(rule.must)+len(rule.should) > 0
	if b.authority || rule.authority || !known && b.certs[0].IsCA {
		j.authorities(b)
		return
	}
	leaf := b.certs[0]
	j.life(b, leaf, j.c.settings.Thresholds.Expiry)
	for _, other := range b.certs[1:] {
		// An authority that signed itself is not needed here, and has a file
		// of its own.
		if string(other.RawIssuer) != string(other.RawSubject) {
			j.life(b, other, j.c.settings.Thresholds.Expiry)
		}
	}
	j.weak(b, leaf)
	j.chain(b, leaf)
	switch b.key {
	case keyDiffers:
		j.add(j.bad(), "%sand the private key in %s do not belong together", b.words(leaf), b.keyFile)
	case keyBroken:
		j.add(j.bad(), "%sneeds a private key, and what %s holds is none", b.words(leaf), b.keyFile)
	}
	j.sans(leaf, rule.must, j.bad())
	j.sans(leaf, rule.should, health.Warning)
}

// authorities judges those that vouch for others. Of several with one name
// the last to expire counts: that is how one is replaced.
func (j *certJudgement) authorities(b *certBundle) {
	newest := make(map[string]*x509.Certificate)
	for _, cert := range b.certs {
		if n := newest[string(cert.RawSubject)]; n == nil || n.NotAfter.Before(cert.NotAfter) {
			newest[string(cert.RawSubject)] = cert
		}
	}
	for _, cert := range b.certs {
		if newest[string(cert.RawSubject)] != cert {
			continue
		}
		j.life(b, cert, j.c.settings.Thresholds.AuthorityExpiry)
		j.weak(b, cert)
		switch {
		case !cert.BasicConstraintsValid || !cert.IsCA:
			j.add(j.bad(), "%sis no authority: CA:TRUE is missing, so that nothing it signed is accepted", b.words(cert))
		case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
			j.add(j.bad(), "%smay not sign certificates by its key usage", b.words(cert))
		}
	}
	if b.key == keyDiffers || b.key == keyBroken {
		j.add(j.bad(), "the private key in %s is not that of this authority, so that what it signs from now on is not accepted", b.keyFile)
	}
	rule := j.file.place.rule
	if !b.authority || rule.ca == "" || j.file.place.folder == nil || j.file.place.folder.installer != "kubeadm" {
		return
	}
	// kubeadm has one authority for servers and clients.
	if ca := j.found.byPath[j.file.place.folder.within(rule.ca)]; ca != nil && len(ca.bundles) > 0 {
		shared := slices.ContainsFunc(b.certs, func(x *x509.Certificate) bool {
			return slices.ContainsFunc(ca.bundles[0].certs, x.Equal)
		})
		if !shared {
			j.add(j.bad(), "the authority of %s is not that of %s", b.name, rule.ca)
		}
	}
}

// life judges when a certificate begins and ends.
func (j *certJudgement) life(b *certBundle, cert *x509.Certificate, limits ExpiryLimits) {
	name := certName(cert)
	if had, ok := j.names[name]; !ok || j.file.place.rule.authority && had.Before(cert.NotAfter) || !j.file.place.rule.authority && cert.NotAfter.Before(had) {
		j.names[name] = cert.NotAfter
	}
	total, left := cert.NotAfter.Sub(cert.NotBefore), cert.NotAfter.Sub(j.now)
	limits.Warning, limits.Critical = min(limits.Warning, total/10), min(limits.Critical, total/30)
	evidence := health.Evidence{Value: left.Seconds(), Threshold: limits.Warning.Seconds(), Unit: "seconds"}
	if j.measured == (health.Evidence{}) || left < j.soonest {
		j.soonest, j.measured = left, evidence
	}
	say := func(status health.Status, threshold float64, format string, args ...any) {
		evidence.Threshold = threshold
		j.findings = append(j.findings, finding{status: status, text: b.words(cert) + fmt.Sprintf(format, args...), evidence: evidence})
	}
	used := 1 - left.Seconds()/max(total.Seconds(), 1)
	rotation, _ := j.c.settings.Thresholds.LifeUsed.judge(used)
	switch {
	case left <= 0:
		say(j.bad(), 0, "expired %s ago, on %s", timeLeft(-left), day(cert.NotAfter))
	case j.now.Before(cert.NotBefore):
		say(j.bad(), 0, "is not valid before %s, in %s; is this node's clock right?", day(cert.NotBefore), timeLeft(cert.NotBefore.Sub(j.now)))
	case limits.Critical > 0 && left <= limits.Critical:
		say(j.bad(), limits.Critical.Seconds(), "expires in %s, on %s", timeLeft(left), day(cert.NotAfter))
	case limits.Warning > 0 && left <= limits.Warning:
		say(health.Warning, limits.Warning.Seconds(), "expires in %s, on %s", timeLeft(left), day(cert.NotAfter))
	case j.file.place.rule.rotated && rotation != health.OK:
		say(rotation, limits.Warning.Seconds(), "expires in %s: the kubelet renews it when 70 to 90 %% of its life are over and has not, at %s; look at its log and at kubectl get csr", timeLeft(left), percent(used))
	}
}

// weak finds what Kubernetes' own programs do not accept any more, or soon
// will not.
func (j *certJudgement) weak(b *certBundle, cert *x509.Certificate) {
	switch cert.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		if string(cert.RawIssuer) != string(cert.RawSubject) { // nobody verifies its own
			j.add(health.Warning, "%sis signed with %v, which Go programs do not accept", b.words(cert), cert.SignatureAlgorithm)
		}
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		j.add(health.Warning, "%shas an RSA key of %d bits; 2048 are the least that is held to be safe", b.words(cert), key.N.BitLen())
	}
}

// sans says which of the names a server is called by are missing.
func (j *certJudgement) sans(leaf *x509.Certificate, names []string, status health.Status) {
	var missing []string
	for _, name := range names {
		meant := []string{name}
		if strings.HasPrefix(name, "$") {
			manifests := ""
			if j.file.place.folder != nil {
				manifests = j.file.place.folder.manifests
			}
			meant = j.found.words[manifests][name]
		}
		for _, m := range meant {
			if m != "" && leaf.VerifyHostname(m) != nil && !slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, m) }) {
				missing = append(missing, clip(m, 80))
			}
		}
	}
	if len(missing) > 0 {
		j.add(status, "lacks the name of %s, so that clients who call it that refuse it", strings.Join(missing, ", "))
	}
}
