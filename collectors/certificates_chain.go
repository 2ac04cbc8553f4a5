package collectors

import (
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// chain judges whether the authority that belongs to a certificate signed it.
func (j *certJudgement) chain(b *certBundle, leaf *x509.Certificate) {
	place := &j.file.place
	switch {
	case place.rule.ca != "":
		ca := place.folder.within(place.rule.ca)
		if file := j.found.byPath[ca]; file != nil && len(file.bundles) > 0 {
			j.verify(b, leaf, file.bundles[0].certs, ca)
			return
		}
		// On a node without the authority's file a kubeconfig brings its own.
		for i := range j.file.bundles {
			if other := &j.file.bundles[i]; place.folder.installer == "kubeadm" && other.authority && b.name != "" {
				j.verify(b, leaf, other.certs, "the kubeconfig's own authority")
				return
			}
		}
	case place.folder != nil && place.folder.walk:
		j.stranger(b, leaf)
	}
}

func (j *certJudgement) verify(b *certBundle, leaf *x509.Certificate, authorities []*x509.Certificate, ca string) {
	j.chained = true
	if err := verifyCert(leaf, b.certs[1:], authorities, j.now); err != nil {
		j.verified = false
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			if !validAt(leaf, j.now) { // that is said of it already
				return
			}
			j.add(j.bad(), "%swas signed by an authority that has expired or is not valid yet, %s", b.words(leaf), ca)
			return
		}
		why, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "x509: "), " (possibly because")
		j.add(j.bad(), "%swas not signed by %s: %s", b.words(leaf), ca, clip(why, 120))
	}
}

// stranger judges a certificate that no rule knows: it may be signed by
// anybody, but not by somebody who only has the name of an authority here.
func (j *certJudgement) stranger(b *certBundle, leaf *x509.Certificate) {
	var named []*x509.Certificate
	var files []string
	for i := range j.found.files {
		file := &j.found.files[i]
		if !file.place.rule.authority || file.place.folder != j.file.place.folder {
			continue
		}
		for _, bundle := range file.bundles {
			for _, cert := range bundle.certs {
				if string(cert.RawSubject) == string(leaf.RawIssuer) {
					named, files = append(named, cert), append(files, file.place.path)
				}
			}
		}
	}
	if len(named) == 0 || !validAt(leaf, j.now) || verifyCert(leaf, b.certs[1:], named, j.now) == nil {
		return
	}
	j.add(health.Warning, "%snames %q as its authority, but the one of that name in %s did not sign it", b.words(leaf), clip(leaf.Issuer.String(), 80), clip(strings.Join(files, ", "), 120))
}

// verifyCert looks at the signatures. That a certificate has expired is said
// of it elsewhere, so the time is one at which it was valid.
func verifyCert(leaf *x509.Certificate, others, authorities []*x509.Certificate, now time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, cert := range authorities {
		roots.AddCert(cert)
	}
	for _, cert := range others {
		between.AddCert(cert)
	}
	at := now
	if !validAt(leaf, now) {
		at = leaf.NotAfter
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}

func validAt(cert *x509.Certificate, at time.Time) bool {
	return !at.Before(cert.NotBefore) && !at.After(cert.NotAfter)
}

// nodeNameOf is the name that a kubelet's client certificate gives the node,
// else fallback.
func nodeNameOf(client *certFile, fallback string) string {
	for _, b := range client.bundles {
		if len(b.certs) > 0 {
			if name, ok := strings.CutPrefix(b.certs[0].Subject.CommonName, "system:node:"); ok && name != "" {
				return name
			}
		}
	}
	return fallback
}
