package collectors

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
)

// nodeName is the name the API knows this node by: as configured, else that
// of the kubelet's credentials, else the agent's own.
func (k *kubeAPI) nodeName(configured string, env Env) string {
	if configured != "" {
		return configured
	}
	if name, ok := strings.CutPrefix(k.user(), "system:node:"); ok {
		return name
	}
	return env.Node
}

// user is the common name of the client certificate in use; empty when there
// is none.
func (k *kubeAPI) user() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := k.access.config.CertData
	if len(text) == 0 {
		text, _ = os.ReadFile(k.access.config.CertFile)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			return cert.Subject.CommonName
		}
	}
	return ""
}
