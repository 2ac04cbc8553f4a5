package collectors

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// Addresses that no cluster and no network has, for instances on this machine
// and for their Service: 127.0.0.0/8 may not stand in its endpoints.
const (
	instanceOne, instanceTwo = "198.18.77.1", "198.18.77.2"
	serviceRange             = "198.18.78.0/24"
	serviceIP                = "198.18.78.1"
)

// needAddress gives this machine an address until the test ends.
func needAddress(t *testing.T, address string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root, to add an address")
		}
		t.Skip("needs root, to add an address")
	}
	_ = exec.Command("ip", "address", "del", address+"/32", "dev", "lo").Run() // of a test that was killed
	if out, err := exec.Command("ip", "address", "add", address+"/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("adding an address: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "address", "del", address+"/32", "dev", "lo").Run() })
}

// forward stands in for the way through a load balancer or a Service: it
// passes connections on until it is closed.
func forward(t *testing.T, from, to string) io.Closer {
	t.Helper()
	l, err := net.Listen("tcp", from)
	must(t, err)
	var passing sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	passing.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				passing.Go(func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
				})
			}
		}
	})
	end := closerFunc(sync.OnceValue(func() error {
		err := l.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		passing.Wait()
		return err
	}))
	t.Cleanup(func() { _ = end.Close() })
	return end
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// TestAPIServerInstances looks from a node of the control plane whose
// kubeconfig names a load balancer.
func TestAPIServerInstances(t *testing.T) {
	away(t)
	for _, address := range []string{instanceOne, instanceTwo, serviceIP} {
		needAddress(t, address)
	}
	pki, err := real.NewPKI(t.TempDir(), "kubernetes-ca")
	must(t, err)
	port, err := real.FreePort()
	must(t, err)
	etcd := real.NeedEtcd(t, real.EtcdOptions{})
	start := func(address string) *real.APIServer {
		return real.NeedAPIServer(t, real.APIServerOptions{
			EtcdURL: etcd.Endpoints()[0], Address: address, Port: port, PKI: pki,
			ExtraArgs: []string{"--service-cluster-ip-range=" + serviceRange},
		})
	}
	one, two := start(instanceOne), start(instanceTwo)
	hostOne, hostTwo := hostOf(t, one.URL), hostOf(t, two.URL)

	// A node as kubeadm leaves it.
	root, proc := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "etc/kubernetes/manifests"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, "etc/kubernetes/manifests/kube-apiserver.yaml"), fmt.Appendf(nil, `apiVersion: v1
kind: Pod
spec:
  containers:
  - name: kube-apiserver
    command: [kube-apiserver, --advertise-address=%s, --secure-port=%d]
`, instanceOne, port), 0o600))
	lb, err := real.FreePort()
	must(t, err)
	balancer := forward(t, hostPort(lb), hostOne)
	kubelet, err := one.KubeconfigFor("system:node:control-1", "system:nodes")
	must(t, err)
	text, err := os.ReadFile(kubelet)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "etc/kubernetes/kubelet.conf"), []byte(strings.ReplaceAll(string(text), one.URL, "https://"+hostPort(lb))), 0o600))

	env := envAt(root)
	env.Paths.Proc = proc
	s := defaultAPIServerSettings()
	s.Thresholds.GetLatency, s.Thresholds.ListLatency = DurationLimits{}, DurationLimits{}
	c, err := s.New(env)
	must(t, err)
	closeAtEnd(t, c)
	check := c.(*apiserverCheck)

	var got seen
	until(t, "all instances are well, by a kubelet's credentials", func() bool {
		check.discovery.next = time.Time{}
		got = run(t, check, apiTimeout)
		return len(got.results) == 3 && health.Worst(mapValues(got.results)) == health.OK
	})
	for host, via := range map[string]string{hostOne: "own", hostPort(lb): "configured", hostTwo: "discovered"} {
		got.expect(t, host, health.OK)
		if got.value(t, &apiInfo, host, via) != 1 || got.value(t, &apiUp, host) != 1 {
			t.Errorf("%s", host)
		}
		for _, phase := range []string{"dial", "tls", "request"} {
			if v := got.value(t, &apiPhase, host, phase); v <= 0 || v > 1 {
				t.Errorf("phase %s of %s: %v s", phase, host, v)
			}
		}
		if at := got.value(t, &apiExpiry, host); at < float64(time.Now().Unix()) {
			t.Errorf("the certificate of %s expires at %v", host, at)
		}
	}

	// The Service is asked once a node that has a kube-proxy reaches it.
	service := forward(t, net.JoinHostPort(serviceIP, "443"), hostTwo)
	must(t, os.MkdirAll(filepath.Join(proc, "77"), 0o700))
	must(t, os.WriteFile(filepath.Join(proc, "77/comm"), []byte("kube-proxy\n"), 0o600))
	check.discovery.next = time.Time{}
	byService := net.JoinHostPort(serviceIP, "443")
	// Only the first address of the range of the harness is in its certificate.
	got = run(t, check, apiTimeout)
	if len(got.results) != 4 || got.value(t, &apiInfo, byService, "service") != 1 {
		t.Errorf("with a Service: %+v", got.results)
	}
	must(t, service.Close())
	got = run(t, check, apiTimeout)
	got.expect(t, byService, health.Critical, "API server through its Service "+byService+" does not answer: connection refused")
	got.expect(t, hostOne, health.OK)

	// The load balancer dies: the instances behind it are known to be well.
	must(t, balancer.Close())
	got = run(t, check, apiTimeout)
	got.expect(t, hostPort(lb), health.Critical, "connection refused")
	got.expect(t, hostOne, health.OK)
	got.expect(t, hostTwo, health.OK)

	// An instance dies: it leaves the endpoints, and is not forgotten.
	must(t, two.Kill())
	run(t, check, apiTimeout).expect(t, hostTwo, health.Critical, "API server "+hostTwo+" does not answer: connection refused")
	until(t, "it has left the endpoints", func() bool {
		check.discovery.next = time.Time{}
		return strings.Contains(run(t, check, apiTimeout).results[hostTwo].Reason, "no longer among the endpoints")
	})
	long := time.Now().Add(-2 * forgetInstance)
	for _, target := range check.targets {
		if target.subject == hostTwo {
			target.missing.Store(&long)
		}
	}

	// All are gone: what was known stays known, however long.
	must(t, one.Kill())
	check.discovery.next = time.Time{}
	got = run(t, check, apiTimeout)
	for _, host := range []string{hostOne, hostTwo, hostPort(lb), byService} {
		got.expect(t, host, health.Critical, "does not answer: connection refused")
	}

	// The API is back, and the instance that left long ago is forgotten.
	must(t, one.Start(t.Context()))
	until(t, "it is forgotten", func() bool {
		check.discovery.next = time.Time{}
		run(t, check, apiTimeout)
		_, known := run(t, check, apiTimeout).results[hostTwo]
		return !known
	})
}

func TestAPIServerInstancesThatMayNotBeRead(t *testing.T) {
	away(t)
	server := real.NeedAPIServer(t, real.APIServerOptions{})
	stranger, err := server.KubeconfigFor("stranger")
	must(t, err)
	s := defaultAPIServerSettings()
	s.Kubeconfig, s.ServiceAddress, s.Instances = stranger, serviceNone, instancesAll
	check := newCheck(t, s)
	for range 2 { // it is said on runs that do not look, too
		run(t, check, apiTimeout).expect(t, instancesSubject, health.Unknown, "cannot be looked up", "endpoints", "forbidden")
	}
}

func TestAPIServerCertificateExpires(t *testing.T) {
	away(t)
	etcd := real.NeedEtcd(t, real.EtcdOptions{})
	for name, c := range map[string]struct {
		left   time.Duration
		status health.Status
		words  []string
	}{
		"soon":      {5 * 24 * time.Hour, health.Warning, []string{"has a certificate that expires in 5.0 days, on "}},
		"very soon": {2 * time.Hour, health.Critical, []string{"has a certificate that expires in 2 h, on "}},
		"expired":   {-5 * time.Minute, health.Critical, []string{"does not answer: its certificate has expired on "}},
	} {
		t.Run(name, func(t *testing.T) {
			notAfter := time.Now().Add(c.left)
			server := real.NeedAPIServer(t, real.APIServerOptions{EtcdURL: etcd.Endpoints()[0], NotAfter: notAfter})
			host := hostOf(t, server.URL)
			t.Cleanup(func() { must(t, server.Kill()) })
			s := defaultAPIServerSettings()
			s.Kubeconfig, s.ServiceAddress = server.Kubeconfig, serviceNone
			s.Thresholds.GetLatency, s.Thresholds.ListLatency = DurationLimits{}, DurationLimits{}
			got := run(t, newCheck(t, s), apiTimeout)
			got.expect(t, host, c.status, append(c.words, notAfter.UTC().Format("2006-01-02"))...)
			if at := got.value(t, &apiExpiry, host); at != float64(notAfter.Unix()) {
				t.Errorf("expiry %v, want %v", at, notAfter.Unix())
			}
			t.Logf("%+v", got.results[host])
		})
	}
}
