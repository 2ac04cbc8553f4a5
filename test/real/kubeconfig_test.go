package real

import (
	"crypto/tls"
	"sync"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// Nodes that start at the same time ask for the same user's.
func TestKubeconfigForManyAtOnce(t *testing.T) {
	t.Parallel()
	pki, err := NewPKI(t.TempDir(), "test")
	if err != nil {
		t.Fatal(err)
	}
	s := &APIServer{URL: "https://127.0.0.1:1", dir: t.TempDir(), pki: pki}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			path, err := s.KubeconfigFor("system:kube-proxy")
			if err != nil {
				t.Error(err)
				return
			}
			c, err := clientcmd.LoadFromFile(path)
			if err != nil {
				t.Error(err)
				return
			}
			for _, user := range c.AuthInfos {
				if _, err := tls.LoadX509KeyPair(user.ClientCertificate, user.ClientKey); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
	all.Wait()
}
