package mesh

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// TLSFiles names the PEM files of the exchange's mutual TLS.
type TLSFiles struct{ CA, Cert, Key string }

// tlsContent is what TLSFiles held when they were read.
type tlsContent struct {
	files         TLSFiles
	ca, cert, key []byte
}

// maxTLSFile bounds what is read of each file.
const maxTLSFile = 1 << 20

func (f *TLSFiles) read() (c tlsContent, err error) {
	c.files = *f
	for _, file := range []struct {
		what, name string
		to         *[]byte
	}{{"certificate", f.Cert, &c.cert}, {"key", f.Key, &c.key}, {"authority", f.CA, &c.ca}} {
		if *file.to, err = readFile(file.name); err != nil {
			return c, fmt.Errorf("reading the mesh %s: %w", file.what, err)
		}
	}
	return c, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTLSFile+1))
	if err == nil && len(b) > maxTLSFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxTLSFile)
	}
	return b, err
}

// sum tells one content from another.
func (c *tlsContent) sum() [sha256.Size]byte {
	h := sha256.New()
	for _, b := range [][]byte{c.ca, c.cert, c.key} {
		fmt.Fprintf(h, "%d:", len(b))
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// identity makes an identity of the content, if all of it fits together.
func (c *tlsContent) identity(cluster, node string) (*identity, error) {
	certificate, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("reading the mesh certificate %s with key %s: %w", c.files.Cert, c.files.Key, err)
	}
	authority, err := parseAuthority(c.ca)
	if err != nil {
		return nil, fmt.Errorf("reading the mesh authority %s: %w", c.files.CA, err)
	}
	id, err := makeIdentity(cluster, node, certificate, authority)
	if err != nil {
		return nil, err
	}
	id.content = c.sum()
	return id, nil
}

// parseAuthority reads one certificate or several: while an authority is
// replaced, the old and the new one. All of the file has to be understood: one
// that is half written must not shut half of the cluster out.
func parseAuthority(b []byte) (*x509.CertPool, error) {
	pool, blocks, certificates := x509.NewCertPool(), 0, 0
	begun := bytes.Count(b, []byte("-----BEGIN "))
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		blocks++
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(certificate)
		certificates++
	}
	if certificates == 0 {
		return nil, errors.New("no certificate in it")
	}
	if blocks != begun {
		return nil, fmt.Errorf("%d of its %d blocks can be read", blocks, begun)
	}
	return pool, nil
}
