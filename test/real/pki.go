package real

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// PKI is a certificate authority whose files lie in one directory.
type PKI struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// CertOptions says what a certificate is good for. Neither Client nor Server
// means both.
type CertOptions struct {
	DNS            []string
	IPs            []net.IP
	Org            []string  // groups, for Kubernetes
	NotAfter       time.Time // zero: a month from now; a past one makes an expired certificate
	Client, Server bool
}

// Cert names a certificate and its key, both PEM.
type Cert struct{ CertFile, KeyFile string }

// NewPKI makes an authority called name and writes its certificate to dir,
// which it creates.
func NewPKI(dir, name string) (*PKI, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of %s: %w", name, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of %s: %w", name, err)
	}
	template, err := certTemplate(name, CertOptions{})
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = nil
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading %s back: %w", name, err)
	}
	p := &PKI{dir: dir, cert: cert, key: key}
	if err := writeKey(p.KeyFile(), key); err != nil {
		return nil, err
	}
	return p, writePEM(p.CAFile(), "CERTIFICATE", der)
}

// CAFile is the authority's certificate.
func (p *PKI) CAFile() string { return filepath.Join(p.dir, "ca.crt") }

// KeyFile is the authority's key, for servers that sign with it.
func (p *PKI) KeyFile() string { return filepath.Join(p.dir, "ca.key") }

// Issue makes a key and a certificate whose common name is name, and writes
// them to name.crt and name.key. Issuing a name again replaces its files.
func (p *PKI) Issue(name string, o CertOptions) (Cert, error) {
	template, err := certTemplate(name, o)
	if err != nil {
		return Cert{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Cert{}, fmt.Errorf("making the key of %s: %w", name, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, key.Public(), p.key)
	if err != nil {
		return Cert{}, fmt.Errorf("signing %s: %w", name, err)
	}
	base := filepath.Join(p.dir, fileName(name))
	c := Cert{CertFile: base + ".crt", KeyFile: base + ".key"}
	if err := writePEM(c.CertFile, "CERTIFICATE", der); err != nil {
		return Cert{}, err
	}
	return c, writeKey(c.KeyFile, key)
}

func certTemplate(name string, o CertOptions) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("making a serial number for %s: %w", name, err)
	}
	now := time.Now()
	notAfter := o.NotAfter
	if notAfter.IsZero() {
		notAfter = now.AddDate(0, 1, 0)
	}
	// Before any NotAfter, and before now on a clock that runs a little slow.
	notBefore := now.Add(-time.Hour)
	if notAfter.Before(now) {
		notBefore = notAfter.Add(-time.Hour)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: o.Org},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		DNSNames:     o.DNS,
		IPAddresses:  o.IPs,
	}
	neither := !o.Client && !o.Server
	if o.Client || neither {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if o.Server || neither {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	return template, nil
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the key %s: %w", path, err)
	}
	return writePEM(path, "EC PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		return fmt.Errorf("writing PEM: %w", err)
	}
	return nil
}

// fileName turns a name into one that any file system takes: those of
// Kubernetes users hold colons.
func fileName(name string) string {
	safe := []byte(name)
	for i, c := range safe {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			safe[i] = '-'
		}
	}
	return string(safe)
}

// loopback is what a server on this machine is called.
func loopback() CertOptions {
	return CertOptions{DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
}
