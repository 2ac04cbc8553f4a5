package mesh

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// identity is what this node proves its name with, and how it judges the
// proofs of others. With certificates from an authority, a certificate may
// speak for the names in its SAN. Without, each node makes its own, and its
// fingerprint in the gossip is what ties it to the name.
type identity struct {
	certificate tls.Certificate
	chain       []byte         // the certificates, DER one after the other
	authority   *x509.CertPool // nil: fingerprints from the gossip

	frameKey ed25519.PrivateKey // signs frames
	encoded  []byte             // endorsement of frameKey: what others judge frames by
}

// ownIdentityFile is where an identity of our own making outlives a restart.
const ownIdentityFile = "identity.pem"

// newIdentity reads the certificates of files, or, if there are none, the
// identity an earlier run left in storagePath, or makes one.
func newIdentity(cluster, node string, files *TLSFiles, st *storage) (*identity, error) {
	var certificate tls.Certificate
	var authority *x509.CertPool
	var err error
	if files == nil {
		certificate, err = ownCertificate(node, st)
	} else {
		certificate, authority, err = files.load()
	}
	if err != nil {
		return nil, err
	}
	id := &identity{certificate: certificate, authority: authority, chain: bytes.Join(certificate.Certificate, nil)}
	chain, err := x509.ParseCertificates(id.chain)
	if err != nil {
		return nil, fmt.Errorf("the mesh certificate: %w", err)
	}
	if err := id.judge(node, chain, id.fingerprint()); err != nil {
		return nil, fmt.Errorf("the mesh certificate: %w", err)
	}
	var public ed25519.PublicKey
	if public, id.frameKey, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, fmt.Errorf("making a key for frames: %w", err)
	}
	e, err := endorse(cluster, certificate, public)
	if err != nil {
		return nil, fmt.Errorf("the mesh certificate: %w", err)
	}
	id.encoded = e.encode()
	return id, nil
}

func (f *TLSFiles) load() (tls.Certificate, *x509.CertPool, error) {
	certificate, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("reading the mesh certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	authorities, err := os.ReadFile(f.CA)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("reading the mesh authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return tls.Certificate{}, nil, fmt.Errorf("reading the mesh authority %s: no certificate in it", f.CA)
	}
	return certificate, pool, nil
}

// ownCertificate returns the certificate an earlier run made, or makes one.
func ownCertificate(node string, st *storage) (tls.Certificate, error) {
	pemBytes, err := st.read(ownIdentityFile)
	if err == nil {
		certificate, err := tls.X509KeyPair(pemBytes, pemBytes)
		if err == nil && slices.Contains(certificate.Leaf.DNSNames, node) {
			return certificate, nil
		}
		if err == nil {
			err = fmt.Errorf("it is of %v, not of %s", certificate.Leaf.DNSNames, node)
		}
		if err := st.setAside(ownIdentityFile, err); err != nil {
			return tls.Certificate{}, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, err
	}
	if pemBytes, err = makeCertificate(node); err != nil {
		return tls.Certificate{}, fmt.Errorf("making an identity: %w", err)
	}
	if err := st.write(ownIdentityFile, pemBytes); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(pemBytes, pemBytes)
}

func makeCertificate(node string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: node},
		DNSNames:     []string{node},
		// Nobody reads these dates: trust in it comes from the gossip.
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...), nil
}

// fingerprint is what the gossip says of this node's certificates.
func (id *identity) fingerprint() string { return fingerprintOf(id.chain) }

func fingerprintOf(chain []byte) string {
	h := frame.Sum(chain)
	return hex.EncodeToString(h[:])
}

// judge reports whether the chain, its own certificate first, may speak for
// node. announced is the fingerprint that the gossip has of node.
func (id *identity) judge(node string, chain []*x509.Certificate, announced string) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	leaf := chain[0]
	if !slices.Contains(leaf.DNSNames, node) {
		return fmt.Errorf("the certificate is of %.200q, not of %s", leaf.DNSNames, node)
	}
	if id.authority == nil {
		var der []byte
		for _, c := range chain {
			der = append(der, c.Raw...)
		}
		if fingerprintOf(der) != announced {
			return fmt.Errorf("the certificate of %s is not the one that the gossip announces", node)
		}
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: id.authority, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		return fmt.Errorf("the certificate of %s: %w", node, err)
	}
	return nil
}

// tlsConfig serves both ends. Names are not host names here: who the peer is
// is judged once it has said its name, before anything else is said.
func (id *identity) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{id.certificate},
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true, //nolint:gosec // judge verifies the chain and the name
	}
}
