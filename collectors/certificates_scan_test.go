package collectors

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// TestCertificatesConfigured looks where the settings say.
func TestCertificatesConfigured(t *testing.T) {
	t.Parallel()
	p := newCertTree(t)
	p.ca("/etc/etcd/ca", "etcd-ca")
	p.issue("/etc/etcd/deep/er/server", "/etc/etcd/ca", template("etcd"))
	p.issue("/opt/certs/one", "/etc/etcd/ca", template("one"))
	p.issue("/opt/certs/two", "/etc/etcd/ca", template("two"))
	p.kubeconfig("/opt/my-config", "me", p.make(expiring(template("me"), year, -time.Hour), "/etc/etcd/ca", nil), p.made["/etc/etcd/ca"].pem)
	must(t, os.Symlink("/etc", filepath.Join(p.root, "etc/etcd/loop")))
	s := defaultCertificatesSettings()
	s.Paths = []string{"/etc/etcd", "/opt/certs/*.crt", "/opt/my-config", "/opt/missing.crt"}
	s.Ignore = []string{"/opt/certs/t*.crt"}
	got := run(t, newCertificates(t, s, p.root), certTimeout)
	for _, path := range []string{"/etc/etcd/ca.crt", "/etc/etcd/deep/er/server.crt", "/opt/certs/one.crt"} {
		got.expect(t, path, health.OK)
	}
	got.expect(t, "/opt/my-config", health.Critical, "the certificate of user me expired")
	got.expect(t, "/opt/missing.crt", health.Critical, "does not exist")
	if len(got.results) != 5 || got.value(t, &certReadable, "/opt/missing.crt") != 0 {
		t.Errorf("results %v", got.results)
	}
}

// TestCertificatesBounds holds that a tree without end is looked at in part,
// what is known first, and that this is said.
func TestCertificatesBounds(t *testing.T) {
	t.Parallel()
	p := kubeadmTree(t)
	pem := string(p.made[kubePKI+"apiserver"].pem)
	for i := range 300 {
		p.write(fmt.Sprintf("%saaa/%03d.crt", kubePKI, i), pem)
	}
	deep := strings.Repeat("d/", 20)
	p.write(kubePKI+deep+"deep.crt", pem)
	got := certificatesOf(t, p)
	got.expect(t, "more files", health.Warning, "117 are left out, such as "+kubePKI+"aaa/18", "than can be read lie below "+kubePKI+"d/d/d/d/d/d/d")
	t.Log(got.results["more files"].Reason)
	if got.value(t, &certSurplus) != 117 || got.value(t, &certFiles) != 200 || len(got.samples) > 1000 {
		t.Errorf("%d samples", len(got.samples))
	}
	got.expect(t, kubeletPKI+"kubelet-client-current.pem", health.OK)
}

// TestCertificatesRenewed reads a file anew when it has changed, and only
// then.
func TestCertificatesRenewed(t *testing.T) {
	t.Parallel()
	p := kubeadmTree(t)
	check := newCertificates(t, defaultCertificatesSettings(), p.root)
	api := kubePKI + "apiserver"
	run(t, check, certTimeout).expect(t, api+".crt", health.OK)
	first := check.last.byPath[api+".crt"].bundles[0].certs[0]
	run(t, check, certTimeout)
	if check.last.byPath[api+".crt"].bundles[0].certs[0] != first {
		t.Error("an unchanged file was read twice")
	}
	p.issue(api, kubePKI+"ca", expiring(template("kube-apiserver", apiNames...), year, -time.Hour))
	must(t, os.Chtimes(filepath.Join(p.root, api+".crt"), time.Time{}, time.Now().Add(time.Second)))
	run(t, check, certTimeout).expect(t, api+".crt", health.Critical, "expired")
	p.remove(api + ".crt")
	if _, there := run(t, check, certTimeout).results[api+".crt"]; there {
		t.Error("a file that is gone has a verdict")
	}
	// A year later, with nothing read anew.
	check.now = func() time.Time { return time.Now().Add(year) }
	run(t, check, certTimeout).expect(t, kubePKI+"apiserver-kubelet-client.crt", health.Critical, "expired 91.")
}

// TestCertificatesThatHang holds a scan in the place of a disk that does.
func TestCertificatesThatHang(t *testing.T) {
	t.Parallel()
	p := kubeadmTree(t)
	check := newCertificates(t, defaultCertificatesSettings(), p.root)
	run(t, check, certTimeout)
	api := kubePKI + "apiserver.crt"
	hung := &certScan{done: make(chan struct{}), path: api, since: time.Now().Add(-400 * time.Second)}
	check.scanner.running = hung
	for range 2 {
		got := run(t, check, time.Second)
		got.expect(t, api, health.Unknown, api+" cannot be read: the kernel has not answered for 40", "look at the disk")
		got.expect(t, kubePKI+"ca.crt", health.OK)
		if got.value(t, &certReadable, api) != 0 || check.scanner.running != hung {
			t.Error("a second scan was started")
		}
	}
	check.scanner.running = nil
	run(t, check, certTimeout).expect(t, api, health.OK)

	t.Run("from the beginning", func(t *testing.T) {
		check := newCertificates(t, defaultCertificatesSettings(), p.root)
		check.scanner.running = hung
		run(t, check, time.Second).expect(t, api, health.Unknown)
	})
	t.Run("a panic", func(t *testing.T) {
		check := newCertificates(t, defaultCertificatesSettings(), p.root)
		check.scanner.settings = nil
		defer func() {
			if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "nil pointer") {
				t.Errorf("raised %v", v)
			}
		}()
		_ = check.Collect(t.Context(), NewReport(time.Now))
		t.Error("no panic")
	})
}

// TestCertificatesWithoutRights is what an agent sees that is not root.
func TestCertificatesWithoutRights(t *testing.T) {
	t.Parallel()
	p := kubeadmTree(t)
	check := newCertificates(t, defaultCertificatesSettings(), p.root)
	run(t, check, certTimeout)
	found, api := check.last, kubePKI+"apiserver.crt"
	found.byPath[api].err, found.byPath[api].bundles = &fs.PathError{Op: "open", Path: api, Err: syscall.EACCES}, nil
	found.refuse(kubePKI+"private", &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES})
	r := NewReport(time.Now)
	check.judgeAll(r, found, "")
	_, results := r.Take()
	status := make(map[string]health.Result)
	for _, result := range results {
		status[result.Subject] = result
	}
	for _, subject := range []string{api, kubePKI + "private"} {
		if got := status[subject]; got.Status != health.Unknown || !strings.Contains(got.Reason, "run the agent as root") {
			t.Errorf("%s: %+v", subject, got)
		}
	}
}

func TestCertificatesDetection(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	writeFile(t, root, "/etc/kubernetes/manifests/x", "")
	_, err := defaultCertificatesSettings().New(envAt(root))
	if !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "/etc/kubernetes/pki") {
		t.Errorf("error %v", err)
	}
	for _, path := range []string{"/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/kubelet.conf", "/var/lib/rancher/k3s/agent/client-ca.crt"} {
		root := t.TempDir()
		writeFile(t, root, path, "")
		if _, err := defaultCertificatesSettings().New(envAt(root)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestCertificatesSettings(t *testing.T) {
	t.Parallel()
	for words, change := range map[string]func(*certificatesSettings){
		`paths: "etc/x" is not`:                               func(s *certificatesSettings) { s.Paths = []string{"etc/x"} },
		`paths: "/etc/*/x.crt" is not`:                        func(s *certificatesSettings) { s.Paths = []string{"/etc/*/x.crt"} },
		`ignore: "/etc/[" is not`:                             func(s *certificatesSettings) { s.Ignore = []string{"/etc/["} },
		"thresholds: expiry: critical is above warning":       func(s *certificatesSettings) { s.Thresholds.Expiry.Warning = time.Hour },
		"thresholds: authority_expiry: below zero":            func(s *certificatesSettings) { s.Thresholds.AuthorityExpiry.Critical = -1 },
		"thresholds: life_used: a ratio is at most 1":         func(s *certificatesSettings) { s.Thresholds.LifeUsed.Warning = 95 },
		"timeout: 1h0m0s is not above 0 and at most 80% of t": func(s *certificatesSettings) { s.Timeout = time.Hour },
	} {
		s := defaultCertificatesSettings()
		change(s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v, want %s", err, words)
		}
	}
}
