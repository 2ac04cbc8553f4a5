package collectors

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
)

const (
	maxCertFile = 256 << 10 // bytes of one file
	maxCerts    = 50        // certificates of one file
)

// certFile is what one file holds. Nothing of a private key is kept.
type certFile struct {
	place   certPlace
	bundles []certBundle
	err     error // why it holds nothing
}

// certBundle is a certificate with those that vouch for it, or a list of
// authorities.
type certBundle struct {
	name      string // "user kubernetes-admin"; empty when it is all of the file
	authority bool   // by its place: the authority of a kubeconfig's cluster
	certs     []*x509.Certificate
	broken    string // why one of them could not be read
	more      int    // that were not read
	key       keyState
	keyFile   string // where the key lies, for a reason
}

type keyState int

const (
	keyNotSeen keyState = iota // none there, encrypted, or not for this user
	keyFits
	keyDiffers
	keyBroken
)

var (
	errNoCertificate = errors.New("holds no certificate in PEM form")
	errNoKubeconfig  = errors.New("is empty, or not a kubeconfig")
)

// readCertFile reads the file at place. Errors are worded to go on after its
// path, but for those of the file system.
func readCertFile(paths Paths, place certPlace) certFile {
	file := certFile{place: place}
	content, err := paths.read(place.path, maxCertFile)
	if err != nil {
		file.err = err
		return file
	}
	if place.rule.kubeconfig || place.configured && isKubeconfig(content) {
		file.bundles, file.err = kubeconfigBundles(content)
		return file
	}
	b := parseBundle(content)
	if len(b.certs) == 0 && b.broken == "" {
		file.err = errNoCertificate
		return file
	}
	b.keyFile = keyBeside(place.path)
	if keyBlock(content) {
		b.keyFile = place.path
		b.key = matchKey(b, content)
	} else if key, err := paths.read(b.keyFile, maxCertFile); err == nil {
		b.key = matchKey(b, key)
	}
	file.bundles = []certBundle{b}
	return file
}

// stampCert changes when the file or its key does.
func stampCert(paths Paths, file string) string {
	key := keyBeside(file)
	var there []string
	for _, p := range []string{file, key} {
		if resolved, err := paths.follow(p); err == nil {
			there = append(there, paths.inRoot(resolved))
		} else if !errors.Is(err, fs.ErrNotExist) {
			there = append(there, paths.inRoot(p))
		}
	}
	return stamp(there...)
}

// keyBeside is where the key of a certificate lies that does not hold it.
func keyBeside(file string) string { return strings.TrimSuffix(file, path.Ext(file)) + ".key" }

func keyBlock(content []byte) bool { return bytes.Contains(content, []byte(" PRIVATE KEY-----")) }

func isKubeconfig(content []byte) bool {
	return bytes.Contains(content, []byte("clusters:")) && bytes.Contains(content, []byte("contexts:"))
}

// parseBundle reads all certificates, skipping what is none.
func parseBundle(content []byte) (b certBundle) {
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return b
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if len(b.certs) == maxCerts {
			b.more++
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			b.broken = clip(strings.TrimPrefix(err.Error(), "x509: "), 100)
			continue
		}
		b.certs = append(b.certs, cert)
	}
}

// matchKey compares the public halves of the first certificate and the key.
// Errors of the parser do not hold anything of the key, and are not kept.
func matchKey(b certBundle, key []byte) keyState {
	if len(b.certs) == 0 || bytes.Contains(key, []byte("ENCRYPTED")) {
		return keyNotSeen
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.certs[0].Raw})
	_, err := tls.X509KeyPair(leaf, key)
	switch {
	case err == nil:
		return keyFits
	case strings.Contains(err.Error(), "does not match"):
		return keyDiffers
	}
	return keyBroken
}

// kubeconfigBundles reads the certificates that a kubeconfig holds itself. It
// may hold none: they can lie in files, and users can have tokens.
func kubeconfigBundles(content []byte) ([]certBundle, error) {
	config, err := clientcmd.Load(content)
	if err != nil {
		return nil, errNoKubeconfig // the parser's words could quote a token
	}
	if len(config.AuthInfos)+len(config.Clusters) == 0 {
		return nil, errNoKubeconfig
	}
	var all []certBundle
	for _, name := range slices.Sorted(maps.Keys(config.AuthInfos))[:min(len(config.AuthInfos), maxCerts)] {
		user := config.AuthInfos[name]
		if len(user.ClientCertificateData) == 0 {
			continue
		}
		b := parseBundle(user.ClientCertificateData)
		b.name = "user " + clip(name, 60)
		b.keyFile = "it"
		if len(b.certs) == 0 && b.broken == "" {
			b.broken = "no certificate in PEM form"
		}
		if len(user.ClientKeyData) > 0 {
			b.key = matchKey(b, user.ClientKeyData)
		}
		all = append(all, b)
	}
	for _, name := range slices.Sorted(maps.Keys(config.Clusters))[:min(len(config.Clusters), maxCerts)] {
		cluster := config.Clusters[name]
		if len(cluster.CertificateAuthorityData) == 0 {
			continue
		}
		b := parseBundle(cluster.CertificateAuthorityData)
		b.name, b.authority = "cluster "+clip(name, 60), true
		if len(b.certs) == 0 && b.broken == "" {
			b.broken = "no certificate in PEM form"
		}
		all = append(all, b)
	}
	return all, nil
}

// words names a certificate within its file, for a reason that begins with
// the file; empty when it is all of the file, else with a space at its end.
func (b *certBundle) words(cert *x509.Certificate) string {
	switch {
	case b.name != "":
		return "the certificate of " + b.name + " "
	case len(b.certs) > 1:
		return fmt.Sprintf("(%s in it) ", certName(cert))
	}
	return ""
}

// certName is the common name, or whatever else names a certificate.
func certName(cert *x509.Certificate) string {
	name := cert.Subject.CommonName
	if name == "" {
		name = cert.Subject.String()
	}
	if name == "" && len(cert.DNSNames) > 0 {
		name = cert.DNSNames[0]
	}
	return clip(name, 80)
}
