package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCertificatesVerify(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	if err := NewCA(dir, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := NewCertificate(dir, "node-1.example", []string{"10.0.0.1", "alias", "node-1.example"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "node-1.example.crt"), filepath.Join(dir, "node-1.example.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, CAFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for _, name := range []string{"node-1.example", "alias", "10.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if names := pair.Leaf.DNSNames; !slices.Equal(names, []string{"node-1.example", "alias"}) {
		t.Errorf("names are %v", names)
	}
	for _, key := range []string{CAKeyFile, "node-1.example.key"} {
		if info, err := os.Stat(filepath.Join(dir, key)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", key, info.Mode(), err)
		}
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	refused := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	refused(NewCertificate(dir, "a", nil, time.Hour), "keygen ca")
	if err := NewCA(dir, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, CAFile))
	if err != nil {
		t.Fatal(err)
	}
	refused(NewCA(dir, time.Hour), "exists")
	refused(NewCertificate(dir, "../a", nil, time.Hour), "node name")
	refused(NewCertificate(dir, "ca", nil, time.Hour), "node name")
	refused(NewCertificate(dir, "a", nil, 48*time.Hour), "ends on")
	refused(NewCertificate(dir, "a", nil, -time.Hour), "valid for")
	if after, err := os.ReadFile(filepath.Join(dir, CAFile)); err != nil || string(after) != string(before) {
		t.Error("the authority was touched")
	}
}
