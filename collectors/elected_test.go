package collectors

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

func TestElectedSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*electedSettings)
		want   string
	}{
		"defaults":        {func(*electedSettings) {}, ""},
		"endpoint":        {func(s *electedSettings) { s.Endpoints = []string{"10.0.0.1:10259"} }, "endpoints"},
		"no lease":        {func(s *electedSettings) { s.LeaseName = "" }, "leader_election"},
		"CA and anybody":  {func(s *electedSettings) { s.CAFile, s.InsecureSkipVerify = "ca.crt", true }, "insecure_skip_verify"},
		"crossed":         {func(s *electedSettings) { s.Thresholds.LeaseAge = Limits{0.8, 0.5} }, "lease_age"},
		"expiry crossed":  {func(s *electedSettings) { s.Thresholds.Certificate.Critical = 1000 * time.Hour }, "certificate"},
		"expiry negative": {func(s *electedSettings) { s.Thresholds.Certificate.Warning = -1 }, "certificate"},
	} {
		s := defaultElectedSettings(scheduler)
		c.change(s)
		if err := s.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const manifestText = `apiVersion: v1
kind: Pod
spec:
  containers:
  - name: sidecar
    command: [/bin/other, --secure-port=1]
  - name: kube-scheduler
    command: [%s]
    args: [%s]
`

func writeManifest(t *testing.T, path, command, args string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, fmt.Appendf(nil, manifestText, command, args), 0o600))
}

// What kubeadm and RKE2 leave on a node is found, and what its flags say.
func TestElectedDetects(t *testing.T) {
	away(t)
	for name, c := range map[string]struct {
		path, command, args string
		subject, lease      string // no lease: empty
		certFile            string
		err                 string
	}{
		"kubeadm": {"etc/kubernetes/manifests/kube-scheduler.yaml", "kube-scheduler, --bind-address=127.0.0.1, --leader-elect=true", "",
			"127.0.0.1:10259", "kube-system/kube-scheduler", "", ""},
		"RKE2": {"var/lib/rancher/rke2/agent/pod-manifests/kube-scheduler.yaml", "kube-scheduler", "--permit-port-sharing=true, --secure-port=10359, --tls-cert-file=/tls/kube-scheduler.crt",
			"127.0.0.1:10359", "kube-system/kube-scheduler", "tls/kube-scheduler.crt", ""},
		"everywhere": {"etc/kubernetes/manifests/kube-scheduler.yaml", "/usr/local/bin/kube-scheduler, --bind-address=0.0.0.0", "",
			"127.0.0.1:10259", "kube-system/kube-scheduler", "", ""},
		"IPv6": {"etc/kubernetes/manifests/kube-scheduler.yaml", "kube-scheduler, \"--bind-address=::\"", "",
			"[::1]:10259", "kube-system/kube-scheduler", "", ""},
		"one address": {"etc/kubernetes/manifests/kube-scheduler.yaml", "kube-scheduler, --bind-address=10.0.0.7", "--leader-elect-resource-name=mine, --leader-elect-resource-namespace=ours",
			"10.0.0.7:10259", "ours/mine", "", ""},
		"alone":      {"etc/kubernetes/manifests/kube-scheduler.yaml", "kube-scheduler, --leader-elect=false", "", "127.0.0.1:10259", "", "", ""},
		"mute":       {"etc/kubernetes/manifests/kube-scheduler.yaml", "kube-scheduler, --secure-port=0", "", "", "", "", "tells nobody how it is"},
		"another":    {"etc/kubernetes/manifests/kube-scheduler.yaml", "kube-proxy", "", "", "", "", "starts no kube-scheduler"},
		"not a pod":  {"etc/kubernetes/manifests/kube-scheduler.yaml", "}{", "", "", "", "", "is not a manifest"},
		"not there":  {"etc/hostname", "", "", "", "", "", "an instance that runs otherwise is named by endpoints"},
		"no program": {"etc/kubernetes/manifests/kube-scheduler.yaml", "", "", "", "", "", "starts no kube-scheduler"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			writeManifest(t, filepath.Join(root, c.path), c.command, c.args)
			writeKubeconfig(t, filepath.Join(root, "etc/kubernetes/scheduler.conf"), "https://10.0.0.1:6443")
			got, err := defaultElectedSettings(scheduler).New(envAt(root))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || errors.Is(err, ErrAbsent) != (name == "not there") {
					t.Errorf("error %v", err)
				}
				return
			}
			must(t, err)
			check := got.(*electedCheck)
			target := check.targets[0]
			if target.subject != c.subject || target.trust.certFile != check.located(root, c.certFile) {
				t.Errorf("%s with %s", target.subject, target.trust.certFile)
			}
			if c.lease == "" {
				if check.lease != nil {
					t.Error("there is no lease")
				}
				return
			}
			if got := check.lease.namespace + "/" + check.lease.name; got != c.lease || check.lease.api == nil || check.lease.api.host() != "10.0.0.1:6443" || len(check.lease.hostnames) == 0 {
				t.Errorf("lease %s: %+v", got, check.lease)
			}
		})
	}
}

func (c *electedCheck) located(root, path string) string {
	if path == "" {
		return ""
	}
	return filepath.Join(root, path)
}

// Without credentials nobody knows who leads, and that is said.
func TestElectedWithoutCredentials(t *testing.T) {
	away(t)
	server := tlsServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "ok") }))
	defer server.Close()
	s := defaultElectedSettings(scheduler)
	s.Endpoints = []string{server.URL}
	c, err := s.New(envAt(t.TempDir()))
	must(t, err)
	closeAtEnd(t, c)
	got := run(t, c, time.Second)
	got.expect(t, leaseSubject, health.Unknown, "lease kube-system/kube-scheduler cannot be read: access to an API server is not on this node")
	got.expect(t, hostOf(t, server.URL), health.OK)
}

// TestElectedLies asks servers that are none, or that lie.
func TestElectedLies(t *testing.T) {
	t.Parallel()
	const timeout = electedTimeout
	text := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = fmt.Fprint(w, body) }
	}
	onReadyz := func(bad http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" {
				bad(w, r)
				return
			}
			text(200, "[+]ping ok\nhealthz check passed\n")(w, r)
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		status  health.Status
		up      float64
		words   string
	}{
		"well":      {text(200, "ok"), health.OK, 1, ""},
		"no readyz": {onReadyz(http.NotFound), health.OK, 1, ""},
		"leadership is lost": {func(w http.ResponseWriter, r *http.Request) {
			text(500, "[-]leaderElection failed: reason withheld\nhealthz check failed\n")(w, r)
		}, health.Critical, 1, "fails on /healthz: leaderElection"},
		"shutting down": {onReadyz(text(500, "[+]ping ok\n[-]shutdown failed: reason withheld\n")), health.Warning, 1, "is shutting down"},
		"not ready":     {onReadyz(text(500, "[-]sched-handler-sync failed: reason withheld\n")), health.Critical, 1, "fails on /readyz: sched-handler-sync"},
		"no healthz":    {http.NotFound, health.Critical, 0, "does not answer /healthz as a kube-scheduler does: 404"},
		"forbidden":     {text(403, `{"kind":"Status","message":"forbidden"}`), health.Unknown, 1, "does not tell /healthz to a stranger (403)"},
		"HTML":          {text(200, "<html>It works!</html>"), health.Critical, 0, "It works!"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere/", http.StatusFound)
		}, health.Critical, 0, "302"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, health.Critical, 0, "larger than 1 MiB"},
		"one byte at a time": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("["))
				w.(http.Flusher).Flush()
				time.Sleep(50 * time.Millisecond)
			}
		}, health.Critical, 0, "no answer within"},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, health.Critical, 0, "does not answer: no answer within"},
		"silent later": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/livez" {
				<-r.Context().Done()
				return
			}
			text(200, "ok")(w, r)
		}, health.Critical, 1, "does not answer /livez: no answer within"},
		"checks without end": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			for i := range 5000 {
				_, _ = fmt.Fprintf(w, "[-]check%d%s failed\n", i, strings.Repeat("x", 30))
			}
		}, health.Critical, 1, "fails on /healthz: check0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := tlsServer(c.handler)
			t.Cleanup(server.Close)
			t.Cleanup(server.CloseClientConnections)
			s := defaultElectedSettings(scheduler)
			s.Endpoints, s.LeaderElection, s.InsecureSkipVerify = []string{server.URL}, false, true
			got := run(t, newCheck(t, s), timeout)
			host := hostOf(t, server.URL)
			got.expect(t, host, c.status, c.words)
			if up := got.value(t, &scheduler.metrics.up, host); up != c.up {
				t.Errorf("up %v, want %v", up, c.up)
			}
			if len(got.samples) > 3*maxAPIChecks+10 {
				t.Errorf("%d samples", len(got.samples))
			}
			got.value(t, &scheduler.metrics.success, host, "/healthz")
			for _, sample := range got.samples {
				if name == "silent" && slices.Contains(sample.Labels, "/livez") {
					t.Errorf("after one silence more was asked: %v", got.samples)
				}
			}
			got.value(t, &scheduler.metrics.last, host, "/healthz")
		})
	}
}

// A certificate that nothing verifies is taken from a loopback address, and
// from nowhere else; the file that the instance is started with verifies it.
func TestElectedTrust(t *testing.T) {
	away(t)
	server := tlsServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "ok") }))
	defer server.Close()
	host := hostOf(t, server.URL)
	pki, err := real.NewPKI(t.TempDir(), "test")
	must(t, err)
	own := filepath.Join(t.TempDir(), "own.crt")
	must(t, os.WriteFile(own, pemOf(server.Certificate()), 0o600))
	for name, c := range map[string]struct {
		certFile string
		away     bool // not on loopback
		status   health.Status
		words    string
		by       string
	}{
		"loopback":                      {"", false, health.OK, "", trustedByNone},
		"elsewhere":                     {"", true, health.Unknown, "nothing to verify it by: no CA is known; name its CA by ca_file, or set insecure_skip_verify", trustedByNone},
		"elsewhere, signed by another":  {pki.CAFile(), true, health.Unknown, "nothing to verify it by: x509: certificate signed by unknown authority", trustedByNone},
		"elsewhere, the file tells it":  {own, true, health.OK, "", trustedByFile},
		"loopback, the file tells it":   {own, false, health.OK, "", trustedByFile},
		"loopback, the file is another": {pki.CAFile(), false, health.OK, "", trustedByNone},
	} {
		t.Run(name, func(t *testing.T) {
			s := defaultElectedSettings(scheduler)
			s.Endpoints, s.LeaderElection = []string{server.URL}, false
			built, err := s.New(envAt(t.TempDir()))
			must(t, err)
			closeAtEnd(t, built)
			trust := built.(*electedCheck).targets[0].trust
			trust.certFile, trust.loopback = c.certFile, !c.away
			got := run(t, built, time.Second)
			got.expect(t, host, c.status, c.words)
			if got.value(t, &scheduler.metrics.verified, host, c.by) != boolean(c.by != trustedByNone) {
				t.Error("verified")
			}
			if got.value(t, &scheduler.metrics.expiry, host) != float64(server.Certificate().NotAfter.Unix()) {
				t.Error("expiry")
			}
		})
	}
}

func pemOf(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}
