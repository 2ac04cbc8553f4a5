package mesh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority is a certificate authority for one test.
type authority struct {
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mesh"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}}
	var der []byte
	a.key, der = sign(t, a.cert, a)
	a.file = writePEM(t, filepath.Join(t.TempDir(), "ca.pem"), "CERTIFICATE", der)
	return a
}

// issue makes a certificate for a node and returns the files of its TLS.
func (a *authority) issue(t testing.TB, node string) *TLSFiles {
	t.Helper()
	dir := t.TempDir()
	files := &TLSFiles{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	trusting(t, files, a)
	a.renew(t, files, node, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	return files
}

// renew writes a new certificate for node and its key to files, in the way of
// the kubelet: beside the old ones, which they then replace.
func (a *authority) renew(t testing.TB, files *TLSFiles, node string, from, until time.Time) {
	t.Helper()
	key, der := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: node}, DNSNames: []string{node},
		NotBefore: from, NotAfter: until,
	}, a)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, files.Key+".new", "PRIVATE KEY", keyDER)
	writePEM(t, files.Cert+".new", "CERTIFICATE", der)
	for _, file := range []string{files.Key, files.Cert} {
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
}

// trusting makes the authorities those of files.
func trusting(t testing.TB, files *TLSFiles, authorities ...*authority) {
	t.Helper()
	var bundle []byte
	for _, a := range authorities {
		b, err := os.ReadFile(a.file)
		if err != nil {
			t.Fatal(err)
		}
		bundle = append(bundle, b...)
	}
	if err := os.WriteFile(files.CA, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
}

func sign(t testing.TB, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := by.key
	if signer == nil {
		signer = key // signs itself
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func writePEM(t testing.TB, file, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
