package web

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"

	"github.com/grapevine-mesh/grapevine/mesh"
)

// secret is bcrypt of "secret" at the lowest cost.
const secret = "$2a$04$2y3SQLHHsNL/ohx0jgIiheEscCod.1wf7RLbOrHRfxBevWXRR/CqG"

// webConfig writes a certificate for 127.0.0.1 and a configuration with TLS
// and one user, and returns its name and who to trust.
func webConfig(t *testing.T) (string, *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, dir, "cert.pem", string(cert))
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return write(t, dir, "web.yml", `
tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
basic_auth_users:
  prometheus: `+secret+`
`), pool
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve runs h on a port of its own. stop ends it and returns what Serve did.
func serve(t *testing.T, h http.Handler, configFile string) (addr string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, h, configFile)
}

func serveOn(t *testing.T, l net.Listener, h http.Handler, configFile string) (addr string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, h, configFile, log.NewNopLogger()) }()
	return l.Addr().String(), func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("Serve does not end")
			return nil
		}
	}
}

func TestServeTLSAndBasicAuth(t *testing.T) {
	configFile, pool := webConfig(t)
	if err := CheckConfig(configFile); err != nil {
		t.Fatal(err)
	}
	cfg, _ := config()
	addr, stop := serve(t, New(cfg), configFile)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for _, tc := range []struct {
		user, password string
		code           int
	}{{"prometheus", "secret", 200}, {"prometheus", "guess", 401}, {"", "", 401}} {
		r, err := http.NewRequest("GET", "https://"+addr+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tc.user != "" {
			r.SetBasicAuth(tc.user, tc.password)
		}
		w, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(w.Body)
		w.Body.Close()
		if err != nil || w.StatusCode != tc.code {
			t.Errorf("%s:%s: %d, want %d (%v)", tc.user, tc.password, w.StatusCode, tc.code, err)
		}
		if tc.code == 200 && !bytes.Contains(body, []byte(`grapevine_node_up{node="b"} 1`)) {
			t.Errorf("got:\n%s", body)
		}
	}
	transport.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A request under way when the program is told to stop gets its answer.
func TestServeStopsGracefully(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	addr, stop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = io.WriteString(w, "done")
	}), "")
	got := make(chan string, 1)
	transport := &http.Transport{}
	go func() {
		w, err := (&http.Client{Transport: transport}).Get("http://" + addr)
		if err != nil {
			got <- err.Error()
			return
		}
		defer w.Body.Close()
		body, _ := io.ReadAll(w.Body)
		got <- string(body)
	}()
	<-entered
	time.AfterFunc(200*time.Millisecond, func() { close(leave) })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if body := <-got; body != "done" {
		t.Errorf("the request under way got %q", body)
	}
	transport.CloseIdleConnections()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

// A request that will not end is cut off after three seconds.
func TestServeCutsOffAtTheDeadline(t *testing.T) {
	entered := make(chan struct{})
	addr, stop := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}), "")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	start := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < 2*time.Second || took > 20*time.Second {
		t.Errorf("stopped after %v, want about 3s", took)
	}
}

// A client that asks for much and reads nothing holds up nobody else.
func TestSlowClient(t *testing.T) {
	cfg, _ := config()
	large := view()
	for len(large.Nodes) < 50_000 {
		large.Nodes = append(large.Nodes, large.Nodes...)
	}
	cfg.View = func() mesh.View { return large }
	addr, stop := serve(t, New(cfg), "")
	slow, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(slow, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(slow, first); err != nil { // it is being rendered
		t.Fatal(err)
	}
	transport := &http.Transport{}
	w, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get("http://" + addr + "/metrics?node=b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, w.Body); err != nil || w.StatusCode != 200 {
		t.Errorf("beside a slow client: %d %v", w.StatusCode, err)
	}
	w.Body.Close()
	transport.CloseIdleConnections()
	slow.Close() // and its handler ends, as goleak sees
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestServeRefusesBadConfig(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bad := write(t, t.TempDir(), "web.yml", "no_such_key: 1\n")
	if err := Serve(t.Context(), l, http.NotFoundHandler(), bad, log.NewNopLogger()); err == nil {
		t.Error("served with a bad configuration")
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is still open")
	}
}

func TestCheckConfig(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct{ name, content, want string }{
		{"empty", "", ""},
		{"unknown key", "tls_server_config:\n  cert: x\n  no_such: 1\n", "line 3"},
		{"no certificate", "tls_server_config:\n  cert_file: absent.pem\n  key_file: absent.key\n", "absent.pem"},
		{"password not hashed", "basic_auth_users:\n  me: plain\n", "web.yml"},
	} {
		err := CheckConfig(write(t, dir, "web.yml", tc.content))
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want == "":
		case err == nil:
			t.Errorf("%s: accepted", tc.name)
		case !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: %q, want one line with %q", tc.name, err, tc.want)
		}
	}
	if err := CheckConfig(filepath.Join(dir, "absent.yml")); err == nil {
		t.Error("an absent file was accepted")
	}
	if err := CheckConfig(""); err != nil {
		t.Errorf("no file: %v", err)
	}
}
