package mesh

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
)

// Whatever key an authority hands out, it can vouch for the key of frames.
func TestEndorsement(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	frameKey, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ECDSA": ec, "RSA": r, "Ed25519": ed} {
		t.Run(name, func(t *testing.T) {
			template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a"}}
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			made, err := endorse("prod", tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, frameKey)
			if err != nil {
				t.Fatal(err)
			}
			encoded := made.encode()
			read, chain, err := parseEndorsement("prod", encoded)
			if err != nil || !bytes.Equal(read.key, frameKey) || chain[0].DNSNames[0] != "a" {
				t.Errorf("it came back as %+v: %v", read, err)
			}
			if _, _, err := parseEndorsement("staging", encoded); err == nil {
				t.Error("an endorsement of one cluster passes in another")
			}
			forged := made
			forged.key = bytes.Repeat([]byte{1}, ed25519.PublicKeySize)
			if _, _, err := parseEndorsement("prod", forged.encode()); err == nil || !strings.Contains(err.Error(), "not signed") {
				t.Errorf("another key passes: %v", err)
			}
		})
	}
	for name, e := range map[string]endorsement{
		"empty":             {},
		"a short key":       {chain: []byte{1}, key: frameKey[:31]},
		"no certificate":    {key: frameKey},
		"not a certificate": {chain: []byte{1, 2, 3}, key: frameKey},
	} {
		if _, _, err := parseEndorsement("prod", e.encode()); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}
