package collectors

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// certTimeout is the check's default timeout.
const certTimeout = time.Minute

func newCertificates(t *testing.T, s *certificatesSettings, root string) *certificatesCheck {
	t.Helper()
	must(t, s.Validate())
	c, err := s.New(envAt(root))
	must(t, err)
	return c.(*certificatesCheck)
}

// certificatesOf looks at a tree once.
func certificatesOf(t *testing.T, p *certTree) seen {
	t.Helper()
	return run(t, newCertificates(t, defaultCertificatesSettings(), p.root), certTimeout)
}

// TestCertificatesOfHealthyNodes finds everything, and nothing wrong.
func TestCertificatesOfHealthyNodes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tree  func(*testing.T) *certTree
		files int
		some  []string
	}{
		"kubeadm": {kubeadmTree, 16, []string{kubePKI + "ca.crt", kubePKI + "apiserver.crt", kubePKI + "etcd/peer.crt", "/etc/kubernetes/admin.conf", kubeletPKI + "kubelet-client-current.pem", kubeletPKI + "kubelet.crt"}},
		"k3s":     {func(t *testing.T) *certTree { return rancherTree(t, "k3s") }, 24, []string{"/etc/rancher/k3s/k3s.yaml", "/var/lib/rancher/k3s/server/tls/client-auth-proxy.crt", "/var/lib/rancher/k3s/agent/serving-kubelet.crt"}},
		"rke2":    {func(t *testing.T) *certTree { return rancherTree(t, "rke2") }, 24, []string{"/etc/rancher/rke2/rke2.yaml", "/var/lib/rancher/rke2/server/tls/etcd/peer-server-client.crt"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := certificatesOf(t, c.tree(t))
			for subject, result := range got.results {
				if result.Status != health.OK {
					t.Errorf("%s: %+v", subject, result)
				}
			}
			if len(got.results) != c.files {
				t.Errorf("%d files, want %d: %v", len(got.results), c.files, got.results)
			}
			for _, path := range c.some {
				got.expect(t, path, health.OK)
				if e := got.results[path].Evidence; e.Value < 200*24*3600 || e.Unit != "seconds" {
					t.Errorf("%s: evidence %+v", path, e)
				}
				if got.value(t, &certReadable, path) != 1 {
					t.Errorf("%s: not readable", path)
				}
			}
			for _, s := range got.samples {
				if s.Metric == &certVerified && s.Value != 1 || s.Metric == &certKeyMatches && s.Value != 1 {
					t.Errorf("%s %v: %v", s.Metric.Name, s.Labels, s.Value)
				}
			}
		})
	}
}

// TestCertificates breaks one thing at a time on a control plane of kubeadm.
func TestCertificates(t *testing.T) {
	t.Parallel()
	const (
		dayLong = 24 * time.Hour
		api     = kubePKI + "apiserver"
	)
	api4 := func(names ...string) *x509.Certificate { return template("kube-apiserver", names...) }
	for name, c := range map[string]struct {
		change func(*testing.T, *certTree)
		path   string
		status health.Status
		words  []string
	}{
		"expired": {func(t *testing.T, p *certTree) {
			p.issue(api, kubePKI+"ca", expiring(api4(apiNames...), year, -3*dayLong-time.Hour))
		}, api + ".crt", health.Critical, []string{"/etc/kubernetes/pki/apiserver.crt expired 3.0 days ago, on "}},
		"a day left": {func(t *testing.T, p *certTree) {
			p.issue(api, kubePKI+"ca", expiring(api4(apiNames...), year, 20*time.Hour+time.Minute))
		}, api + ".crt", health.Critical, []string{"expires in 20 h"}},
		"a week left": {func(t *testing.T, p *certTree) {
			p.issue(api, kubePKI+"ca", expiring(api4(apiNames...), year, 6*dayLong+time.Hour))
		}, api + ".crt", health.Warning, []string{"expires in 6.0 days, on "}},
		"short lived and young": {func(t *testing.T, p *certTree) {
			p.issue(api, kubePKI+"ca", expiring(api4(apiNames...), dayLong, 20*time.Hour))
		}, api + ".crt", health.OK, nil},
		"short lived and old": {func(t *testing.T, p *certTree) {
			p.issue(api, kubePKI+"ca", expiring(api4(apiNames...), dayLong, 2*time.Hour+time.Minute))
		}, api + ".crt", health.Warning, []string{"expires in 2 h"}},
		"not yet valid": {func(t *testing.T, p *certTree) {
			p.issue(api, kubePKI+"ca", expiring(api4(apiNames...), year, year+5*time.Hour+time.Minute))
		}, api + ".crt", health.Critical, []string{"is not valid before ", "in 5 h; is this node's clock right?"}},
		"another authority of that name": {func(t *testing.T, p *certTree) { p.ca(kubePKI+"ca", "kubernetes") },
			api + ".crt", health.Critical, []string{"was not signed by /etc/kubernetes/pki/ca.crt: certificate signed by unknown authority"}},
		"an authority that has expired": {func(t *testing.T, p *certTree) {
			p.caOf(kubePKI+"front-proxy-ca", expiring(template("front-proxy-ca"), year, -dayLong))
			p.issue(kubePKI+"front-proxy-client", kubePKI+"front-proxy-ca", template("front-proxy-client"))
		}, kubePKI + "front-proxy-client.crt", health.Critical, []string{"was signed by an authority that has expired or is not valid yet, /etc/kubernetes/pki/front-proxy-ca.crt"}},
		"an authority with a month left": {func(t *testing.T, p *certTree) {
			p.caOf(kubePKI+"front-proxy-ca", expiring(template("front-proxy-ca"), year, 20*dayLong+time.Hour))
			p.issue(kubePKI+"front-proxy-client", kubePKI+"front-proxy-ca", template("front-proxy-client"))
		}, kubePKI + "front-proxy-ca.crt", health.Warning, []string{"expires in 20.0 days"}},
		"an authority that is replaced": {func(t *testing.T, p *certTree) {
			old := p.make(expiring(template("kubernetes"), year, -dayLong), "", nil)
			p.write(kubePKI+"ca.crt", string(old.pem)+string(p.made[kubePKI+"ca"].pem))
			p.remove(kubePKI + "ca.key")
		}, kubePKI + "ca.crt", health.OK, nil},
		"no authority": {func(t *testing.T, p *certTree) { p.put(kubePKI+"ca", p.make(template("kubernetes"), "", nil)) },
			kubePKI + "ca.crt", health.Critical, []string{"ca.crt is no authority: CA:TRUE is missing"}},
		"another's key": {func(t *testing.T, p *certTree) {
			p.write(api+".key", string(keyPEM(t, p.made[kubePKI+"ca"].key)))
		}, api + ".crt", health.Critical, []string{"apiserver.crt and the private key in /etc/kubernetes/pki/apiserver.key do not belong together"}},
		"garbage for a key": {func(t *testing.T, p *certTree) { p.write(api+".key", "secret garbage") },
			api + ".crt", health.Critical, []string{"needs a private key, and what /etc/kubernetes/pki/apiserver.key holds is none"}},
		"no key":           {func(t *testing.T, p *certTree) { p.remove(api + ".key") }, api + ".crt", health.OK, nil},
		"an encrypted key": {func(t *testing.T, p *certTree) { p.write(api+".key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n") }, api + ".crt", health.OK, nil},
		"the Service's address is missing": {func(t *testing.T, p *certTree) {
			p.issue(api, kubePKI+"ca", api4("kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.0.0.1", "10.97.0.1"))
		}, api + ".crt", health.Critical, []string{"lacks the name of 10.96.0.1, so that"}},
		"names are missing": {func(t *testing.T, p *certTree) { p.issue(api, kubePKI+"ca", api4("kubernetes", "10.96.0.1")) },
			api + ".crt", health.Warning, []string{"lacks the name of kubernetes.default, kubernetes.default.svc, 10.0.0.1"}},
		"etcd's peers call it otherwise": {func(t *testing.T, p *certTree) {
			p.issue(kubePKI+"etcd/peer", kubePKI+"etcd/ca", template("cp-1", "cp-1", "127.0.0.1"))
		}, kubePKI + "etcd/peer.crt", health.Critical, []string{"lacks the name of 10.0.0.1"}},
		"SHA-1": {func(t *testing.T, p *certTree) {
			p.caOf(kubePKI+"front-proxy-ca", template("front-proxy-ca"))
			c := template("front-proxy-client")
			c.SignatureAlgorithm = x509.ECDSAWithSHA1
			p.issue(kubePKI+"front-proxy-client", kubePKI+"front-proxy-ca", c)
		}, kubePKI + "front-proxy-client.crt", health.Critical, []string{"was not signed by", "is signed with ECDSA-SHA1"}},
		"a short RSA key": {func(t *testing.T, p *certTree) {
			p.put(kubePKI+"front-proxy-client", p.make(template("front-proxy-client"), kubePKI+"front-proxy-ca", weakRSA(t)))
		}, kubePKI + "front-proxy-client.crt", health.Warning, []string{"an RSA key of 1024 bits"}},
		"garbage": {func(t *testing.T, p *certTree) { p.write(api+".crt", "garbage") }, api + ".crt", health.Critical, []string{"holds no certificate in PEM form"}},
		"broken inside": {func(t *testing.T, p *certTree) {
			p.write(api+".crt", "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n")
		}, api + ".crt", health.Critical, []string{"a certificate in it cannot be read: malformed"}},
		"empty": {func(t *testing.T, p *certTree) { p.write("/etc/kubernetes/kubelet.conf", "") }, "/etc/kubernetes/kubelet.conf", health.Critical, []string{"is empty, or not a kubeconfig"}},
		"large": {func(t *testing.T, p *certTree) { p.write(api+".crt", strings.Repeat("x", 1<<20)) }, api + ".crt", health.Critical, []string{"is larger than 256 KiB"}},
		"a FIFO": {func(t *testing.T, p *certTree) {
			p.remove(api + ".crt")
			must(t, syscall.Mkfifo(filepath.Join(p.root, api+".crt"), 0o600))
		}, api + ".crt", health.Critical, []string{"is not a regular file"}},
		"a link to nowhere": {func(t *testing.T, p *certTree) { p.remove(kubeletPKI + "kubelet-client-2026-02-02.pem") },
			kubeletPKI + "kubelet-client-current.pem", health.Critical, []string{"is a link to a file that does not"}},
		"links in a circle": {func(t *testing.T, p *certTree) {
			p.remove(api + ".crt")
			must(t, os.Symlink("apiserver.crt", filepath.Join(p.root, api+".crt")))
		}, api + ".crt", health.Critical, []string{"cannot be read: too many levels of symbolic links"}},
		"the kubelet does not renew": {func(t *testing.T, p *certTree) { p.kubelet(expiring(template("system:node:cp-1"), year, 15*dayLong)) },
			kubeletPKI + "kubelet-client-current.pem", health.Warning, []string{"renews it when 70 to 90 % of its life are over and has not, at 96 %"}},
		"the kubelet's is of another node": {func(t *testing.T, p *certTree) {
			p.kubelet(template("system:node:cp-2"))
		}, kubeletPKI + "kubelet.crt", health.Warning, []string{"lacks the name of cp-2"}},
		"a kubelet's own that has expired": {func(t *testing.T, p *certTree) {
			p.put(kubeletPKI+"kubelet", p.make(expiring(template("cp-1", "cp-1"), year, -dayLong), "", nil))
		}, kubeletPKI + "kubelet.crt", health.Warning, []string{"expired 24 h ago"}},
		"a kubeconfig that has expired": {func(t *testing.T, p *certTree) {
			p.kubeconfig("/etc/kubernetes/scheduler.conf", "system:kube-scheduler", p.make(expiring(template("s"), year, -5*dayLong-time.Hour), kubePKI+"ca", nil), p.made[kubePKI+"ca"].pem)
		}, "/etc/kubernetes/scheduler.conf", health.Critical, []string{"the certificate of user system:kube-scheduler expired 5.0 days ago"}},
		"a kubeconfig of another cluster": {func(t *testing.T, p *certTree) {
			p.ca("/tmp/other", "kubernetes")
			p.kubeconfig("/etc/kubernetes/admin.conf", "kubernetes-admin", p.make(template("a"), "/tmp/other", nil), p.made["/tmp/other"].pem)
		}, "/etc/kubernetes/admin.conf", health.Critical, []string{"the certificate of user kubernetes-admin was not signed by /etc/kubernetes/pki/ca.crt", "the authority of cluster kubernetes is not that of"}},
		"a kubeconfig on a node without the authority's file": {func(t *testing.T, p *certTree) {
			p.ca("/tmp/other", "kubernetes")
			p.kubeconfig("/etc/kubernetes/admin.conf", "kubernetes-admin", p.make(template("a"), "/tmp/other", nil), p.made[kubePKI+"ca"].pem)
			p.remove(kubePKI + "ca.crt")
		}, "/etc/kubernetes/admin.conf", health.Critical, []string{"was not signed by the kubeconfig's own authority"}},
		"a leftover that has expired": {func(t *testing.T, p *certTree) {
			p.issue(kubePKI+"old/thing", kubePKI+"ca", expiring(template("thing"), year, -100*dayLong))
		}, kubePKI + "old/thing.crt", health.Warning, []string{"expired 100.0 days ago"}},
		"a stranger with a known issuer": {func(t *testing.T, p *certTree) {
			p.ca("/tmp/other", "kubernetes")
			p.issue(kubePKI+"webhook", "/tmp/other", template("webhook"))
		}, kubePKI + "webhook.crt", health.Warning, []string{`names "CN=kubernetes" as its authority, but the one of that name in /etc/kubernetes/pki/ca.crt did not sign it`}},
		"a stranger": {func(t *testing.T, p *certTree) {
			p.ca("/tmp/other", "company")
			p.issue(kubePKI+"webhook", "/tmp/other", template("webhook"))
		}, kubePKI + "webhook.crt", health.OK, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := kubeadmTree(t)
			c.change(t, p)
			got := certificatesOf(t, p)
			got.expect(t, c.path, c.status, c.words...)
			if reason := got.results[c.path].Reason; strings.Contains(name, "expired") && strings.Contains(reason, ";") {
				t.Errorf("more is said than that: %s", reason)
			}
			if strings.Contains(fmt.Sprint(got), "secret") {
				t.Error("a key's content came out")
			}
		})
	}
}

func TestCertificatesOfRancher(t *testing.T) {
	t.Parallel()
	p := rancherTree(t, "rke2")
	tls := "/var/lib/rancher/rke2/server/tls/"
	p.write("/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml", "spec:\n  containers:\n  - command: [kube-apiserver]\n    args:\n    - --service-cluster-ip-range=10.43.0.0/16\n")
	p.issue(tls+"client-scheduler", tls+"server-ca", template("system:kube-scheduler"))
	p.issue("/var/lib/rancher/rke2/agent/serving-kubelet", tls+"server-ca", template("x", "elsewhere"))
	got := certificatesOf(t, p)
	got.expect(t, tls+"serving-kube-apiserver.crt", health.Critical, "lacks the name of 10.43.0.1")
	got.expect(t, tls+"client-scheduler.crt", health.Critical, "was not signed by "+tls+"client-ca.crt")
	got.expect(t, "/var/lib/rancher/rke2/agent/serving-kubelet.crt", health.Warning, "lacks the name of rke2-1")
	if got.value(t, &certVerified, tls+"client-scheduler.crt") != 0 {
		t.Error("exported as verified")
	}
}
