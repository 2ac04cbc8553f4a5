package mesh

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// endorsement ties a key that signs frames to the certificates of a node: it
// is the identity that frames refer to. The key is made anew at each start
// and never leaves the process. So signatures have one size and cost whatever
// keys the operator's authority hands out, and the certificate's own key is
// needed once, not every few seconds.
type endorsement struct {
	chain     []byte // certificates, DER one after the other, the node's own first
	key       ed25519.PublicKey
	signature []byte // over cluster and key, by the node's certificate
}

const (
	fieldChain       protowire.Number = 1
	fieldFrameKey    protowire.Number = 2
	fieldEndorsement protowire.Number = 3
)

// endorse signs key with the certificate's.
func endorse(cluster string, certificate tls.Certificate, key ed25519.PublicKey) (endorsement, error) {
	e := endorsement{key: key}
	for _, der := range certificate.Certificate {
		e.chain = append(e.chain, der...)
	}
	signer, ok := certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return e, fmt.Errorf("its key, a %T, cannot sign", certificate.PrivateKey)
	}
	message, hash := e.message(cluster), crypto.Hash(0)
	if _, ok := signer.Public().(ed25519.PublicKey); !ok {
		digest := sha256.Sum256(message)
		message, hash = digest[:], crypto.SHA256
	}
	var err error
	e.signature, err = signer.Sign(rand.Reader, message, hash)
	return e, err
}

// message is what is signed: a purpose, so that nobody can be tricked into
// signing it for another, the cluster and the key.
func (e *endorsement) message(cluster string) []byte {
	b := append([]byte("grapevine frame key\x00"), cluster...)
	return append(append(b, 0), e.key...)
}

func (e *endorsement) encode() []byte {
	b := frame.AppendBytes(nil, fieldChain, e.chain)
	b = frame.AppendBytes(b, fieldFrameKey, e.key)
	return frame.AppendBytes(b, fieldEndorsement, e.signature)
}

const (
	// maxEndorsement bounds an identity: a chain of several certificates with
	// RSA keys is a quarter of it.
	maxEndorsement = 32 << 10
	// maxRSA bounds what verifying costs, in bits.
	maxRSA = 8192
)

// parseEndorsement reads an identity and checks that its certificate has
// signed its key. Whether the certificate is to be trusted is another question.
func parseEndorsement(cluster string, encoded []byte) (endorsement, []*x509.Certificate, error) {
	var e endorsement
	if len(encoded) > maxEndorsement {
		return e, nil, fmt.Errorf("%d bytes; %d are allowed", len(encoded), maxEndorsement)
	}
	if err := frame.Fields(encoded, func(n protowire.Number, v frame.Value) error {
		switch n {
		case fieldChain:
			e.chain = v.Bytes
		case fieldFrameKey:
			e.key = v.Bytes
		case fieldEndorsement:
			e.signature = v.Bytes
		}
		return nil
	}); err != nil {
		return e, nil, err
	}
	if len(e.key) != ed25519.PublicKeySize {
		return e, nil, fmt.Errorf("a key of %d bytes", len(e.key))
	}
	chain, err := x509.ParseCertificates(e.chain)
	if err != nil {
		return e, nil, err
	}
	if len(chain) == 0 {
		return e, nil, errors.New("no certificate")
	}
	message := e.message(cluster)
	digest := sha256.Sum256(message)
	var good bool
	switch key := chain[0].PublicKey.(type) {
	case ed25519.PublicKey:
		good = ed25519.Verify(key, message, e.signature)
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(key, digest[:], e.signature)
	case *rsa.PublicKey:
		if key.N.BitLen() > maxRSA {
			return e, nil, fmt.Errorf("an RSA key of %d bits; %d are allowed", key.N.BitLen(), maxRSA)
		}
		good = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], e.signature) == nil
	default:
		return e, nil, fmt.Errorf("keys of type %T are not supported", key)
	}
	if !good {
		return e, nil, errors.New("its key for frames is not signed by its certificate")
	}
	return e, chain, nil
}
