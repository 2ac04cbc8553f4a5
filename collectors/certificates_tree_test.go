package collectors

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// certTree writes certificates into a node's tree, as installers do.
type certTree struct {
	t    *testing.T
	root string
	made map[string]madeCert // by path without its extension
}

type madeCert struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

const year = 365 * 24 * time.Hour

func newCertTree(t *testing.T) *certTree {
	return &certTree{t: t, root: t.TempDir(), made: make(map[string]madeCert)}
}

// template is a certificate of a year, of which a quarter is over.
func template(name string, names ...string) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-year / 4), NotAfter: time.Now().Add(3 * year / 4),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	return c
}

// expiring changes a template so that left of its life is left.
func expiring(c *x509.Certificate, life, left time.Duration) *x509.Certificate {
	c.NotAfter = time.Now().Add(left)
	c.NotBefore = c.NotAfter.Add(-life)
	return c
}

func (p *certTree) make(c *x509.Certificate, ca string, key crypto.Signer) madeCert {
	p.t.Helper()
	var err error
	if key == nil {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(p.t, err)
	}
	parent, signer := c, key
	if ca != "" {
		parent, signer = p.made[ca].cert, p.made[ca].key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	must(p.t, err)
	cert, err := x509.ParseCertificate(der)
	must(p.t, err)
	return madeCert{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func keyPEM(t *testing.T, key crypto.Signer) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// ca writes an authority of ten years to path.crt and path.key.
func (p *certTree) ca(path, name string) madeCert {
	c := template(name)
	c.NotAfter = time.Now().Add(9 * year)
	return p.caOf(path, c)
}

func (p *certTree) caOf(path string, c *x509.Certificate) madeCert {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	return p.put(path, p.make(c, "", nil))
}

// issue writes a certificate signed by the authority at ca.
func (p *certTree) issue(path, ca string, c *x509.Certificate) madeCert {
	return p.put(path, p.make(c, ca, nil))
}

func (p *certTree) put(path string, m madeCert) madeCert {
	p.write(path+".crt", string(m.pem))
	p.write(path+".key", string(keyPEM(p.t, m.key)))
	p.made[path] = m
	return m
}

func (p *certTree) write(path, content string) { writeFile(p.t, p.root, path, content) }

func (p *certTree) remove(path string) { must(p.t, os.Remove(filepath.Join(p.root, path))) }

// kubeconfig writes one that holds its certificates itself.
func (p *certTree) kubeconfig(path, user string, m madeCert, ca []byte) {
	c := clientcmdapi.NewConfig()
	c.Clusters["kubernetes"] = &clientcmdapi.Cluster{Server: "https://10.0.0.1:6443", CertificateAuthorityData: ca}
	c.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: m.pem, ClientKeyData: keyPEM(p.t, m.key)}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "kubernetes", AuthInfo: user}
	c.CurrentContext = "x"
	content, err := clientcmd.Write(*c)
	must(p.t, err)
	p.write(path, string(content))
}

const (
	kubePKI    = "/etc/kubernetes/pki/"
	kubeletPKI = "/var/lib/kubelet/pki/"
)

var apiNames = []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "cp-1", "10.96.0.1", "10.0.0.1"}

// kubeadmTree is a control plane as kubeadm leaves it.
func kubeadmTree(t *testing.T) *certTree {
	p := newCertTree(t)
	p.ca(kubePKI+"ca", "kubernetes")
	p.ca(kubePKI+"front-proxy-ca", "front-proxy-ca")
	p.ca(kubePKI+"etcd/ca", "etcd-ca")
	p.issue(kubePKI+"apiserver", kubePKI+"ca", template("kube-apiserver", apiNames...))
	p.issue(kubePKI+"apiserver-kubelet-client", kubePKI+"ca", template("kube-apiserver-kubelet-client"))
	p.issue(kubePKI+"apiserver-etcd-client", kubePKI+"etcd/ca", template("kube-apiserver-etcd-client"))
	p.issue(kubePKI+"front-proxy-client", kubePKI+"front-proxy-ca", template("front-proxy-client"))
	etcd := []string{"cp-1", "localhost", "127.0.0.1", "10.0.0.1"}
	p.issue(kubePKI+"etcd/server", kubePKI+"etcd/ca", template("cp-1", etcd...))
	p.issue(kubePKI+"etcd/peer", kubePKI+"etcd/ca", template("cp-1", etcd...))
	p.issue(kubePKI+"etcd/healthcheck-client", kubePKI+"etcd/ca", template("kube-etcd-healthcheck-client"))
	p.write(kubePKI+"sa.pub", "-----BEGIN PUBLIC KEY-----\n")
	for file, user := range map[string]string{
		"admin.conf": "kubernetes-admin", "super-admin.conf": "kubernetes-super-admin",
		"controller-manager.conf": "system:kube-controller-manager", "scheduler.conf": "system:kube-scheduler",
	} {
		p.kubeconfig("/etc/kubernetes/"+file, user, p.make(template(user), kubePKI+"ca", nil), p.made[kubePKI+"ca"].pem)
	}
	p.write("/etc/kubernetes/kubelet.conf", "apiVersion: v1\nkind: Config\nusers:\n- name: default-auth\n  user:\n    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem\n")
	p.write("/etc/kubernetes/manifests/kube-apiserver.yaml", "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --advertise-address=10.0.0.1\n    - --service-cluster-ip-range=10.96.0.0/12,fd00::/108\n")
	p.write("/etc/kubernetes/manifests/etcd.yaml", "spec:\n  containers:\n  - command:\n    - etcd\n    - --advertise-client-urls=https://10.0.0.1:2379\n    - --initial-advertise-peer-urls=https://10.0.0.1:2380\n")
	p.kubelet(template("system:node:cp-1"))
	return p
}

// kubelet writes what a kubelet that rotates leaves: the current certificate
// behind an absolute link, and an old one.
func (p *certTree) kubelet(c *x509.Certificate) {
	m := p.make(c, kubePKI+"ca", nil)
	p.write(kubeletPKI+"kubelet-client-2026-02-02.pem", string(m.pem)+string(keyPEM(p.t, m.key)))
	old := p.make(expiring(template("system:node:cp-1"), year, -100*time.Hour), kubePKI+"ca", nil)
	p.write(kubeletPKI+"kubelet-client-2025-01-01.pem", string(old.pem)+string(keyPEM(p.t, old.key)))
	link := filepath.Join(p.root, kubeletPKI, "kubelet-client-current.pem")
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	must(p.t, os.Symlink(kubeletPKI+"kubelet-client-2026-02-02.pem", link))
	p.caOf("/tmp/self", template("cp-1-ca@1700000000"))
	self := p.make(template("cp-1@1700000000", "cp-1"), "/tmp/self", nil)
	p.write(kubeletPKI+"kubelet.crt", string(self.pem)+string(p.made["/tmp/self"].pem))
	p.write(kubeletPKI+"kubelet.key", string(keyPEM(p.t, self.key)))
}

// rancherTree is a server of k3s or RKE2.
func rancherTree(t *testing.T, name string) *certTree {
	p := newCertTree(t)
	tls, agent := "/var/lib/rancher/"+name+"/server/tls/", "/var/lib/rancher/"+name+"/agent/"
	for _, ca := range []string{"client-ca", "server-ca", "request-header-ca", "etcd/server-ca", "etcd/peer-ca"} {
		p.ca(tls+ca, name+"-"+strings.ReplaceAll(ca, "/", "-")+"@1700000000")
	}
	p.write(tls+"client-ca.nochain.crt", string(p.made[tls+"client-ca"].pem))
	for _, client := range []string{"client-admin", "client-controller", "client-scheduler", "client-kube-apiserver", "client-" + name + "-controller"} {
		p.issue(tls+client, tls+"client-ca", template("system:"+client))
	}
	p.issue(tls+"client-auth-proxy", tls+"request-header-ca", template("system:auth-proxy"))
	p.issue(tls+"serving-kube-apiserver", tls+"server-ca", template("kube-apiserver", append(apiNames, "127.0.0.1", "localhost")...))
	p.issue(tls+"kube-scheduler/kube-scheduler", tls+"server-ca", template("kube-scheduler", "localhost", "127.0.0.1"))
	p.issue(tls+"etcd/client", tls+"etcd/server-ca", template("etcd-client"))
	p.issue(tls+"etcd/server-client", tls+"etcd/server-ca", template("etcd-server", "localhost", "127.0.0.1"))
	p.issue(tls+"etcd/peer-server-client", tls+"etcd/peer-ca", template("etcd-peer", "localhost", "127.0.0.1"))
	loopback := template("apiserver-loopback-client", "apiserver-loopback-client")
	p.put(tls+"temporary-certs/apiserver-loopback-client__", p.make(loopback, "", nil))
	p.write(tls+"service.key", string(keyPEM(t, p.made[tls+"client-ca"].key)))

	p.write(agent+"client-ca.crt", string(p.made[tls+"client-ca"].pem))
	p.write(agent+"server-ca.crt", string(p.made[tls+"server-ca"].pem))
	p.issue(agent+"client-kubelet", tls+"client-ca", template("system:node:"+name+"-1"))
	p.issue(agent+"client-kube-proxy", tls+"client-ca", template("system:kube-proxy"))
	serving := p.make(template(name+"-1", name+"-1", "localhost", "127.0.0.1"), tls+"server-ca", nil)
	serving.pem = append(serving.pem, p.made[tls+"server-ca"].pem...) // k3s appends the authority
	p.put(agent+"serving-kubelet", serving)
	p.write(agent+"containerd/images/ca.crt", "not one of Kubernetes")
	p.write(agent+"kubelet.kubeconfig", "kind: Config\n")
	p.kubeconfig("/etc/rancher/"+name+"/"+name+".yaml", "default", p.make(template("system:admin"), tls+"client-ca", nil), p.made[tls+"server-ca"].pem)
	return p
}

// weakRSA is a key that nobody should use.
func weakRSA(t *testing.T) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	return key
}
