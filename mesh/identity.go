package mesh

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// identity is what this node proves its name with, and how it judges the
// proofs of others. With certificates from an authority, a certificate may
// speak for the names in its SAN. Without, each node makes its own, and its
// fingerprint in the gossip is what ties it to the name.
type identity struct {
	certificate tls.Certificate
	chain       []byte         // the certificates, DER one after the other
	authority   *x509.CertPool // nil: fingerprints from the gossip
	until       time.Time      // when it ends; zero: never

	content [sha256.Size]byte // of the files it was made of

	frameKey ed25519.PrivateKey // signs frames
	encoded  []byte             // endorsement of frameKey: what others judge frames by
}

// ownIdentityFile is where an identity of our own making outlives a restart.
const ownIdentityFile = "identity.pem"

// newIdentity reads the certificates of files, or, if there are none, the
// identity an earlier run left in storagePath, or makes one.
func newIdentity(cluster, node string, files *TLSFiles, st *storage) (*identity, error) {
	if files == nil {
		certificate, err := ownCertificate(node, st)
		if err != nil {
			return nil, err
		}
		return makeIdentity(cluster, node, certificate, nil)
	}
	read, err := files.read()
	if err != nil {
		return nil, err
	}
	return read.identity(cluster, node)
}

// makeIdentity makes a key for frames and has the certificate vouch for it.
func makeIdentity(cluster, node string, certificate tls.Certificate, authority *x509.CertPool) (*identity, error) {
	id := &identity{certificate: certificate, authority: authority, chain: bytes.Join(certificate.Certificate, nil)}
	chain, err := x509.ParseCertificates(id.chain)
	if err != nil {
		return nil, fmt.Errorf("the mesh certificate: %w", err)
	}
	if id.until, err = id.judge(node, chain, id.fingerprint()); err != nil {
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
	if id.encoded = e.encode(); len(id.encoded) > maxEndorsement {
		return nil, fmt.Errorf("the mesh certificate: with its chain it takes %d bytes; %d are allowed", len(id.encoded), maxEndorsement)
	}
	return id, nil
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

// fingerprint is what the gossip says of this node's certificates; nothing
// when an authority vouches for them.
func (id *identity) fingerprint() string {
	if id.authority != nil {
		return ""
	}
	return fingerprintOf(id.chain)
}

func fingerprintOf(chain []byte) string {
	h := frame.Sum(chain)
	return hex.EncodeToString(h[:])
}

// judge says until when the chain, its own certificate first, may speak for
// node; zero is for good. announced is the fingerprint that the gossip has of
// node.
func (id *identity) judge(node string, chain []*x509.Certificate, announced string) (until time.Time, _ error) {
	if len(chain) == 0 {
		return until, errors.New("no certificate")
	}
	leaf := chain[0]
	if id.authority == nil {
		var der []byte
		for _, c := range chain {
			der = append(der, c.Raw...)
		}
		if !slices.Contains(leaf.DNSNames, node) || fingerprintOf(der) != announced {
			return until, fmt.Errorf("the certificate of %s is not the one that the gossip announces", node)
		}
		return until, nil
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	verified, err := leaf.Verify(x509.VerifyOptions{
		Roots: id.authority, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return until, unverified(node, leaf, err)
	}
	if !slices.Contains(leaf.DNSNames, node) {
		return until, fmt.Errorf("the certificate is of %.200q, not of %s", leaf.DNSNames, node)
	}
	for _, c := range verified[0] {
		if until.IsZero() || c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	return until, nil
}

// unverified tells apart why a certificate was not verified, in words for a
// person and for counting.
func unverified(node string, leaf *x509.Certificate, err error) *state.Refusal {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && time.Now().Before(invalid.Cert.NotBefore):
		return &state.Refusal{Reason: state.ReasonNotYetValid, Err: fmt.Errorf("the certificate of %s (of %s) begins at %s only: compare the clocks",
			node, invalid.Cert.Subject, invalid.Cert.NotBefore.Format(time.RFC3339))}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &state.Refusal{Reason: state.ReasonExpired, Err: fmt.Errorf("the certificate of %s (of %s) has ended at %s",
			node, invalid.Cert.Subject, invalid.Cert.NotAfter.Format(time.RFC3339))}
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return &state.Refusal{Reason: state.ReasonAuthority, Err: fmt.Errorf("the certificate of %s is signed by %q, and not by an authority in --mesh.tls-ca: %w",
			node, leaf.Issuer, err)}
	}
	return &state.Refusal{Reason: state.ReasonIdentity, Err: fmt.Errorf("the certificate of %s: %w", node, err)}
}

// tlsConfig serves both ends, with the certificate that is in force when a
// connection is made. Names are not host names here: who the peer is is judged
// once it has said its name, before anything else is said.
func tlsConfig(own func() *identity) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &own().certificate, nil },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &own().certificate, nil
		},
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true, // each connection shows its certificate
		InsecureSkipVerify:     true, //nolint:gosec // judge verifies the chain and the name
	}
}
