package real

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestEtcdPlain(t *testing.T) {
	e := NeedEtcd(t, EtcdOptions{Members: 3, QuotaBytes: 64 << 20})
	for _, url := range e.Endpoints() {
		if err := answers200(plainClient(), url+"/version")(t.Context()); err != nil {
			t.Error(err)
		}
	}
	// A member that was killed comes back with its data.
	m := e.Members[0]
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if m.Running() || !gone(m.Pid()) {
		t.Fatal("the killed member runs")
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pids := []int{e.Members[0].Pid(), e.Members[1].Pid(), e.Members[2].Pid()}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if !gone(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

func TestEtcdWantsClientCertificate(t *testing.T) {
	pki, err := NewPKI(t.TempDir(), "etcd-ca")
	if err != nil {
		t.Fatal(err)
	}
	e := NeedEtcd(t, EtcdOptions{PKI: pki})
	ca, err := os.ReadFile(pki.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	ask := func(cert Cert) error {
		c := &tls.Config{RootCAs: roots}
		if cert != (Cert{}) {
			pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
			if err != nil {
				t.Fatal(err)
			}
			c.Certificates = []tls.Certificate{pair}
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: c}}
		return answers200(client, e.Members[0].ClientURL+"/health")(t.Context())
	}
	if err := ask(e.ClientCert); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if ask(Cert{}) == nil {
		t.Error("etcd let a client without certificate in")
	}
	expired, err := pki.Issue("expired", CertOptions{Client: true, NotAfter: time.Now().Add(-time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if ask(expired) == nil {
		t.Error("etcd let a client with an expired certificate in")
	}
	if !strings.HasPrefix(e.Members[0].ClientURL, "https://") {
		t.Errorf("client URL is %s", e.Members[0].ClientURL)
	}
}

func TestStartSaysWhyItFailed(t *testing.T) {
	_, err := StartEtcd(t.Context(), EtcdOptions{
		Binary: Binary(t, "etcd"), Dir: t.TempDir(), ExtraArgs: []string{"--initial-cluster=other=http://127.0.0.1:1"},
	})
	if err == nil || !strings.Contains(err.Error(), "initial cluster") {
		t.Fatalf("error is %v", err)
	}
}

func TestStolenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	attempts := 0
	err = withFreshPorts(func() error {
		attempts++
		listen := "http://" + l.Addr().String()
		if attempts > 1 {
			return nil
		}
		e, err := startEtcd(t.Context(), EtcdOptions{
			Binary: Binary(t, "etcd"), Dir: t.TempDir(), Members: 1,
			ExtraArgs: []string{"--listen-metrics-urls=" + listen},
		})
		if err == nil {
			_ = e.Stop()
			return errors.New("etcd shares a port")
		}
		return err
	})
	if err != nil || attempts != 2 {
		t.Fatalf("%d attempts, then %v", attempts, err)
	}
}
