package mesh

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// What an earlier run left may be damaged in any way.
func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"format":1,"cluster":"prod","node":"a","epoch":3,"peers":["192.0.2.1:7996"]}`))
	f.Add([]byte(`{"format":1}{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMemory(b)
		if err != nil {
			return
		}
		if len(m.Peers) > maxPeers || m.Epoch > 1<<48 {
			t.Errorf("%d peers, epoch %d", len(m.Peers), m.Epoch)
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseMemory(again); err != nil {
			t.Errorf("what was read cannot be written and read: %v", err)
		}
	})
}

func FuzzKeyring(f *testing.F) {
	b, err := json.Marshal(storedKeyring{keyringFormat, "prod", "given", [][]byte{gossipKey(1), gossipKey(2)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		stored, err := parseKeyring(b)
		if err == nil && (len(stored.Keys) == 0 || checkKeys(stored.Keys) != nil) {
			t.Errorf("%d keys", len(stored.Keys))
		}
	})
}

// Whoever holds a key of the gossip can send anything as a request about keys.
func FuzzKeyRequest(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for _, r := range []keyRequest{
		{deed: keyList, node: "a", version: frame.Version{Epoch: 1, Number: 2}, number: 1},
		{deed: keyAdd, key: gossipKey(1), node: "a", version: frame.Version{Epoch: 1, Number: 2}, number: 2},
		{deed: keyUse, fingerprint: Fingerprint(gossipKey(1)), node: "a", version: frame.Version{Epoch: 1, Number: 2}, number: 3},
	} {
		f.Add(r.signed("prod", key))
	}
	f.Add(keyAnswer{fingerprints: []string{Fingerprint(gossipKey(1))}, trouble: "its disk is full"}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseKeyRequest(b); err == nil && r.verify("staging", key.Public().(ed25519.PublicKey)) == nil {
			t.Error("a request of another cluster passes")
		}
		if a, err := parseKeyAnswer(b); err == nil && (len(a.fingerprints) > maxKeys || len(a.trouble) > maxTrouble) {
			t.Errorf("an answer of %d keys", len(a.fingerprints))
		}
	})
}

// Identities come from relays.
func FuzzEndorsement(f *testing.F) {
	// The same in every process, as fuzzing wants it.
	signer := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a"}, NotAfter: time.Unix(1e9, 0)}
	der, err := x509.CreateCertificate(nil, template, template, signer.Public(), signer)
	if err != nil {
		f.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	made, err := endorse("prod", tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(made.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, chain, err := parseEndorsement("prod", b)
		if err != nil {
			return
		}
		if len(e.key) != ed25519.PublicKeySize || len(chain) == 0 {
			t.Errorf("a key of %d bytes and %d certificates pass", len(e.key), len(chain))
		}
		if bytes.Equal(e.chain, der) && !bytes.Equal(e.key, key) {
			t.Error("the certificate vouches for a key that it has not signed")
		}
	})
}
