// Package pki makes the certificates of the mesh for operators who have no
// authority of their own: one CA, and for each node a certificate whose SAN
// is the node's name.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CAFile and CAKeyFile are what NewCA writes.
const (
	CAFile    = "ca.crt"
	CAKeyFile = "ca.key"
)

// skew is how far a certificate reaches back, for nodes whose clock is behind.
const skew = time.Hour

// NewCA writes a certificate authority to dir, which it makes if need be. It
// never overwrites a file.
func NewCA(dir string, valid time.Duration) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "grapevine mesh"}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return issue(filepath.Join(dir, CAFile), filepath.Join(dir, CAKeyFile), template, valid, nil, nil)
}

// NewCertificate writes NODE.crt and NODE.key to dir, signed by the authority
// there. hosts are further names and addresses for the SAN. It never
// overwrites a file.
func NewCertificate(dir, node string, hosts []string, valid time.Duration) error {
	if node == "" || node != filepath.Base(node) || node == "ca" {
		return fmt.Errorf("%q is not a node name that can name a file", node)
	}
	ca, key, err := load(dir)
	if err != nil {
		return err
	}
	if end := time.Now().Add(valid); end.After(ca.NotAfter) {
		return fmt.Errorf("the authority in %s ends on %s, before the certificate would", dir, ca.NotAfter.Format(time.DateOnly))
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: node}, DNSNames: []string{node},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if host != node {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return issue(filepath.Join(dir, node+".crt"), filepath.Join(dir, node+".key"), template, valid, ca, key)
}

func load(dir string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, CAFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("no authority in %s: make one with grapevine keygen ca --dir=%s", dir, dir)
	}
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, CAKeyFile))
	if err != nil {
		return nil, nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("%s or %s in %s is not PEM", CAFile, CAKeyFile, dir)
	}
	ca, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, CAFile), err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, CAKeyFile), err)
	}
	ecKey, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("the key in %s is not one that keygen made", filepath.Join(dir, CAKeyFile))
	}
	return ca, ecKey, nil
}

// issue makes a key and a certificate signed by ca, or by itself if ca is nil.
func issue(certFile, keyFile string, template *x509.Certificate, valid time.Duration, ca *x509.Certificate, caKey *ecdsa.PrivateKey) error {
	if valid <= 0 {
		return fmt.Errorf("a certificate that is valid for %v", valid)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return err
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-skew), time.Now().Add(valid)
	if ca == nil {
		ca, caKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The key first: a certificate without one is of no use to anybody.
	if err := writeNew(keyFile, "PRIVATE KEY", keyDER, 0o600); err != nil {
		return err
	}
	if err := writeNew(certFile, "CERTIFICATE", der, 0o644); err != nil {
		return errors.Join(err, os.Remove(keyFile))
	}
	return nil
}

func writeNew(file, kind string, der []byte, mode os.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Close())
}
