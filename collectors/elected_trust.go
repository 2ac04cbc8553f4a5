package collectors

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"sync"
)

// By what a certificate was verified: values of the label by.
const (
	trustedByCAFile  = "ca_file"
	trustedByFile    = "file"
	trustedByCluster = "cluster"
	trustedByNone    = "none"
)

// electedTrust decides on the certificate that an instance shows. Its files
// are read at every handshake, of which there is one as long as the
// connection lasts.
type electedTrust struct {
	caFile   string   // as configured
	certFile string   // that the instance is started with; may be empty
	api      *kubeAPI // whose CA may have signed it; nil: no access
	anyone   bool     // accept all
	loopback bool     // it is asked where nobody else can answer without being root
	name     string   // to look for

	mu sync.Mutex // guards by
	by string
}

// unverifiable is why a certificate was not accepted when nobody has said what
// it should be verified by.
type unverifiable struct{ error }

// config has every certificate decided on by t.
func (t *electedTrust) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: t.name,
		// Not skipped: VerifyConnection does it, with more than one CA.
		InsecureSkipVerify: true,
		VerifyConnection:   func(state tls.ConnectionState) error { return t.decide(state.PeerCertificates) },
	}
}

// decide verifies what the other side shows, or says why it is not accepted.
func (t *electedTrust) decide(chain []*x509.Certificate) error {
	by, err := t.verify(chain)
	t.mu.Lock()
	t.by = by
	t.mu.Unlock()
	if err == nil {
		return nil
	}
	return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
}

// verdict is by what the newest certificate was verified.
func (t *electedTrust) verdict() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == "" {
		return trustedByNone
	}
	return t.by
}

func (t *electedTrust) verify(chain []*x509.Certificate) (by string, err error) {
	if t.anyone {
		return trustedByNone, nil
	}
	if t.caFile != "" {
		conf, err := (tlsFiles{CA: t.caFile}).config()
		if err == nil {
			err = verifyBy(chain, conf.RootCAs, t.name)
		}
		if err != nil {
			return trustedByNone, err
		}
		return trustedByCAFile, nil
	}
	err = errors.New("no CA is known")
	for _, source := range []struct {
		by  string
		pem []byte
	}{{trustedByFile, readOrNothing(t.certFile)}, {trustedByCluster, t.clusterCA()}} {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(source.pem) {
			continue
		}
		if err = verifyBy(chain, roots, t.name); err == nil {
			return source.by, nil
		}
	}
	if t.loopback {
		return trustedByNone, nil
	}
	return trustedByNone, unverifiable{err}
}

func verifyBy(chain []*x509.Certificate, roots *x509.CertPool, name string) error {
	options := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(options)
	return err
}

// clusterCA is the CA of the API server, nothing when it is not known.
func (t *electedTrust) clusterCA() []byte {
	if t.api == nil {
		return nil
	}
	t.api.mu.Lock()
	conf := t.api.access.config.TLSClientConfig
	t.api.mu.Unlock()
	if len(conf.CAData) > 0 {
		return conf.CAData
	}
	return readOrNothing(conf.CAFile)
}

// readOrNothing reads a file that may be missing.
func readOrNothing(path string) []byte {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return content
}
