package collectors

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// tlsFiles names the PEM files a client identifies itself and its server by.
// An empty CA means the system's roots, an empty Cert no client certificate.
type tlsFiles struct{ CA, Cert, Key string }

// config reads the files. Errors name the file.
func (f tlsFiles) config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("reading CA file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading CA file: %s holds no certificate in PEM form", f.CA)
		}
	}
	if f.Cert != "" {
		certPEM, err := os.ReadFile(f.Cert)
		if err != nil {
			return nil, fmt.Errorf("reading client certificate: %w", err)
		}
		keyPEM, err := os.ReadFile(f.Key)
		if err != nil {
			return nil, fmt.Errorf("reading client key: %w", err)
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			return nil, fmt.Errorf("client certificate %s with key %s: %w", f.Cert, f.Key, err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// stamp is a text that changes when one of the files was replaced: renewed
// certificates are to be used without a restart. An empty path is skipped.
func stamp(paths ...string) string {
	var s string
	for _, path := range paths {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			s += path + " absent\n"
			continue
		}
		s += fmt.Sprintf("%s %d %d\n", path, info.ModTime().UnixNano(), info.Size())
	}
	return s
}
