package collectors

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

func TestAPIServerSettings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*apiserverSettings)
		want   string
	}{
		"defaults":          {func(*apiserverSettings) {}, ""},
		"endpoint":          {func(s *apiserverSettings) { s.Endpoints = []string{"10.0.0.1:6443"} }, "endpoints"},
		"twice":             {func(s *apiserverSettings) { s.Endpoints = []string{"https://a:1", "https://a:1"} }, "twice"},
		"service address":   {func(s *apiserverSettings) { s.ServiceAddress = "10.96.0.1" }, "service_address"},
		"path with a host":  {func(s *apiserverSettings) { s.GetPath = "https://elsewhere/api/v1" }, "get_path"},
		"path of something": {func(s *apiserverSettings) { s.ListPath = "/logs" }, "list_path"},
		"service not asked": {func(s *apiserverSettings) { s.ServiceAddress = "none" }, ""},
		"instances":         {func(s *apiserverSettings) { s.Instances = "some" }, "instances"},
		"namespace":         {func(s *apiserverSettings) { s.Admission.Namespace = "../kube-system" }, "namespace"},
		"expiry crossed":    {func(s *apiserverSettings) { s.Thresholds.Certificate.Warning = time.Hour }, "certificate"},
		"crossed":           {func(s *apiserverSettings) { s.Thresholds.GetLatency.Warning = time.Hour }, "get_latency"},
	} {
		s := defaultAPIServerSettings()
		c.change(s)
		if err := s.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// away leaves none of the credentials of whoever runs the test.
func away(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
}

const kubeconfigText = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "%s"}}]
users: [{name: u, user: {token: abc}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`

func writeKubeconfig(t *testing.T, path, server string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, fmt.Appendf(nil, kubeconfigText, server), 0o600))
	return path
}

func TestAPIServerLooksForAccess(t *testing.T) {
	root := t.TempDir()
	away(t)
	subject := func() string {
		c, err := defaultAPIServerSettings().New(envAt(root))
		if err != nil {
			t.Fatal(err)
		}
		return c.(*apiserverCheck).targets[0].subject
	}
	_, err := defaultAPIServerSettings().New(envAt(root))
	if !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "~/.kube/config") {
		t.Errorf("error %v", err)
	}
	// Each place comes before those that were written earlier.
	for i, place := range []string{
		filepath.Join(root, "etc/rancher/k3s/k3s.yaml"),
		filepath.Join(root, "etc/kubernetes/admin.conf"),
		filepath.Join(root, "etc/kubernetes/kubelet.conf"),
		filepath.Join(os.Getenv("HOME"), ".kube/config"),
		filepath.Join(root, "explicit"),
	} {
		host := fmt.Sprintf("10.0.0.%d:6443", i)
		writeKubeconfig(t, place, "https://"+host)
		if filepath.Base(place) == "explicit" {
			t.Setenv("KUBECONFIG", place)
		}
		if got := subject(); got != host {
			t.Errorf("with %s: %s", place, got)
		}
	}
	// The Service of a pod is asked beside what the kubeconfig names.
	t.Setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "443")
	c, err := defaultAPIServerSettings().New(envAt(root))
	must(t, err)
	if targets := c.(*apiserverCheck).targets; len(targets) != 2 || targets[1].subject != "[fd00::1]:443" {
		t.Errorf("targets %+v", targets)
	}
}

func TestAPIServerNamesABadKubeconfig(t *testing.T) {
	away(t)
	s := defaultAPIServerSettings()
	s.Kubeconfig = filepath.Join(t.TempDir(), "config")
	for _, content := range []string{"", "\x00garbage", "apiVersion: v1\nkind: Config\ncurrent-context: none\n"} {
		if content != "" {
			must(t, os.WriteFile(s.Kubeconfig, []byte(content), 0o600))
		}
		if _, err := s.New(envAt("/nowhere")); err == nil || !strings.Contains(err.Error(), s.Kubeconfig) {
			t.Errorf("%q: error %v", content, err)
		}
	}
}

func TestAPIServerOfThisNode(t *testing.T) {
	const manifest = "etc/kubernetes/manifests/kube-apiserver.yaml"
	for name, c := range map[string]struct{ flags, want string }{
		"kubeadm":    {"--advertise-address=10.0.0.1, --secure-port=6443", "10.0.0.1:6443"},
		"IPv6":       {"--secure-port=7443, --advertise-address=fd00::1", "[fd00::1]:7443"},
		"defaults":   {"--etcd-servers=x", "127.0.0.1:6443"},
		"impossible": {"--advertise-address=evil.example/x, --secure-port=99999", "127.0.0.1:6443"},
	} {
		root := writeTree(t, manifest)
		must(t, os.WriteFile(filepath.Join(root, manifest), []byte("spec: {containers: [{command: [kube-apiserver, "+c.flags+"]}]}"), 0o600))
		if got := ownAPIServer(root); got != c.want || !onControlPlane(root) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if root := writeTree(t, "etc/kubernetes/kubelet.conf"); ownAPIServer(root) != "" || onControlPlane(root) {
		t.Error("a worker is taken for a node of the control plane")
	}
	if !onControlPlane(writeTree(t, "var/lib/rancher/k3s/server/tls/server-ca.crt")) {
		t.Error("k3s")
	}
}

// TestAPIServerConnections: a thousand nodes ask, so one connection each, and
// a new one once a minute.
func TestAPIServerConnections(t *testing.T) {
	away(t)
	var made atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api") {
			_, _ = fmt.Fprint(w, `{"kind":"Namespace"}`)
			return
		}
		_, _ = fmt.Fprint(w, "[+]ping ok\n")
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	s := defaultAPIServerSettings()
	s.Endpoints = []string{server.URL}
	check := newCheck(t, s)
	for range 3 {
		run(t, check, 4*time.Second).expect(t, hostOf(t, server.URL), health.OK)
	}
	if n := made.Load(); n > 2 { // a second one when a request took longer than its head start
		t.Errorf("%d connections", n)
	}
	before := made.Load()
	check.(*apiserverCheck).targets[0].renew = time.Now()
	run(t, check, 4*time.Second)
	if made.Load() == before {
		t.Error("the connection was not renewed")
	}
}

// TestAPIServerLies asks servers that are none, or that lie.
func TestAPIServerLies(t *testing.T) {
	away(t)
	const timeout = time.Second
	fine := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez", "/readyz":
			_, _ = fmt.Fprintf(w, "[+]ping ok\n[+]etcd ok\n%s check passed\n", r.URL.Path[1:])
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"kind":"Namespace"}`)
		}
	}
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = fmt.Fprint(w, body) }
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		status  health.Status
		up      float64
		words   []string
	}{
		"well": {fine, health.OK, 1, nil},
		"HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, "<html><body>It works!</body></html>")
		}, health.Critical, 0, []string{"not answer /livez as an API server does", "text/html", "It works!"}},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, health.Critical, 0, []string{"larger than 1 MiB"}},
		"one byte at a time": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("["))
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Millisecond)
			}
		}, health.Critical, 0, []string{"no answer within"}},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, health.Critical, 0, []string{"does not answer: no answer within"}},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere/", http.StatusFound)
		}, health.Critical, 0, []string{"302"}},
		"credentials gone": {status(401, `{"kind":"Status","message":"Unauthorized"}`), health.Unknown, 1, []string{"does not accept the credentials (401)"}},
		"overloaded":       {status(429, `{"kind":"Status","message":"too many requests"}`), health.Warning, 1, []string{"overloaded"}},
		"broken JSON": {func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/api/") {
				_, _ = fmt.Fprint(w, `{"kind":"Namespa`)
				return
			}
			fine(w, r)
		}, health.Critical, 1, []string{"does not answer /api/v1/namespaces/default/services/kubernetes as an API server does"}},
		"object is not there": {func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/api/") {
				status(404, `{"kind":"Status","message":"not found"}`)(w, r)
				return
			}
			fine(w, r)
		}, health.OK, 1, nil},
		"shutting down": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" {
				status(500, "[+]ping ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n")(w, r)
				return
			}
			fine(w, r)
		}, health.Warning, 1, []string{"is shutting down"}},
		"checks without end": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" {
				w.WriteHeader(500)
				for i := range 5000 {
					_, _ = fmt.Fprintf(w, "[-]check%d%s failed\n", i, strings.Repeat("x", 30))
				}
				return
			}
			fine(w, r)
		}, health.Critical, 1, []string{"fails on /readyz: check0"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			t.Cleanup(server.CloseClientConnections)
			s := defaultAPIServerSettings()
			s.Endpoints = []string{server.URL}
			got := run(t, newCheck(t, s), timeout)
			host := hostOf(t, server.URL)
			got.expect(t, host, c.status, c.words...)
			if up := got.value(t, &apiUp, host); up != c.up {
				t.Errorf("up %v, want %v", up, c.up)
			}
			checks := 0
			for _, s := range got.samples {
				if s.Metric == &apiCheckFailed {
					checks++
				}
			}
			if checks > 2*maxFailedChecks {
				t.Errorf("%d checks", checks)
			}
			for _, operation := range apiOperations {
				got.value(t, &apiLast, host, operation)
				got.value(t, &apiSuccess, host, operation)
			}
		})
	}
}

func TestAPIServerTLS(t *testing.T) {
	away(t)
	server := tlsServer(http.NotFoundHandler())
	defer server.Close()
	host := hostOf(t, server.URL)
	s := defaultAPIServerSettings()
	s.Endpoints = []string{server.URL}
	run(t, newCheck(t, s), time.Second).expect(t, host, health.Critical, "does not answer: x509: certificate signed by unknown authority")

	plain := defaultAPIServerSettings()
	plain.Endpoints = []string{strings.Replace(server.URL, "https", "http", 1)}
	run(t, newCheck(t, plain), time.Second).expect(t, host, health.Critical, "400", "HTTP request to an HTTPS server")

	// The certificate is for example.com and 127.0.0.1.
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	must(t, os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600))
	s.Kubeconfig = writeKubeconfig(t, filepath.Join(dir, "config"), server.URL)
	text, err := os.ReadFile(s.Kubeconfig)
	must(t, err)
	must(t, os.WriteFile(s.Kubeconfig, []byte(strings.Replace(string(text), "{server:", "{certificate-authority: ca.crt, server:", 1)), 0o600))
	for name, status := range map[string]string{"": "404", "example.com": "404", "other.org": "x509: certificate is valid for"} {
		s.ServerName = name
		run(t, newCheck(t, s), time.Second).expect(t, host, health.Critical, status)
	}
}

func TestAPIServerTakesUpANewKubeconfig(t *testing.T) {
	away(t)
	var token atomic.Value
	server := tlsServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { token.Store(r.Header.Get("Authorization")) }))
	defer server.Close()
	s := defaultAPIServerSettings()
	s.Kubeconfig = writeKubeconfig(t, filepath.Join(t.TempDir(), "config"), server.URL)
	text, err := os.ReadFile(s.Kubeconfig)
	must(t, err)
	old := strings.Replace(string(text), "{server:", "{insecure-skip-tls-verify: true, server:", 1)
	must(t, os.WriteFile(s.Kubeconfig, []byte(old), 0o600))
	check := newCheck(t, s)
	must(t, os.WriteFile(s.Kubeconfig, []byte(strings.Replace(old, "abc", "renewed", 1)), 0o600))
	run(t, check, time.Second)
	server.Close()
	if got := token.Load(); got != "Bearer renewed" {
		t.Errorf("token %q", got)
	}
	// One that is broken leaves the old one in use.
	must(t, os.WriteFile(s.Kubeconfig, []byte("garbage"), 0o600))
	run(t, check, time.Second).expect(t, hostOf(t, server.URL), health.Critical, "connection refused")
}

// tlsServer logs nothing: refused handshakes are the point of its tests.
func tlsServer(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	server.StartTLS()
	return server
}
