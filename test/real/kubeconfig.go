package real

import (
	"fmt"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// KubeconfigFor writes a kubeconfig of a user who shows a client certificate,
// and returns its path. What the user may do is up to RBAC; a member of
// system:masters may do all. Each user's is written once, with the groups of
// that time: somebody may be reading it.
func (s *APIServer) KubeconfigFor(user string, groups ...string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path, ok := s.issued[user]; ok {
		return path, nil
	}
	cert, err := s.pki.Issue(user, CertOptions{Client: true, Org: groups})
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, fileName(user)+".kubeconfig")
	if err := s.writeKubeconfig(path, &clientcmdapi.AuthInfo{ClientCertificate: cert.CertFile, ClientKey: cert.KeyFile}); err != nil {
		return "", err
	}
	if s.issued == nil {
		s.issued = map[string]string{}
	}
	s.issued[user] = path
	return path, nil
}

func (s *APIServer) writeKubeconfigs() error {
	var err error
	if s.Kubeconfig, err = s.KubeconfigFor("admin", "system:masters"); err != nil {
		return err
	}
	s.TokenKubeconfig = filepath.Join(s.dir, "token.kubeconfig")
	return s.writeKubeconfig(s.TokenKubeconfig, &clientcmdapi.AuthInfo{Token: s.Token})
}

func (s *APIServer) writeKubeconfig(path string, user *clientcmdapi.AuthInfo) error {
	c := clientcmdapi.NewConfig()
	c.Clusters["test"] = &clientcmdapi.Cluster{Server: s.URL, CertificateAuthority: s.CAFile}
	c.AuthInfos["user"] = user
	c.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "user"}
	c.CurrentContext = "test"
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		return fmt.Errorf("writing the kubeconfig %s: %w", path, err)
	}
	return nil
}
