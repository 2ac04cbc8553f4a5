package collectors

import (
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// apiTimeout is the check's default timeout.
const apiTimeout = 4 * time.Second

func TestAPIServer(t *testing.T) {
	away(t)
	etcd := real.NeedEtcd(t, real.EtcdOptions{})
	server := real.NeedAPIServer(t, real.APIServerOptions{EtcdURL: etcd.Endpoints()[0]})
	host := hostOf(t, server.URL)
	settings := func(kubeconfig string) *apiserverSettings {
		s := defaultAPIServerSettings()
		s.Kubeconfig, s.ServiceAddress = kubeconfig, serviceNone
		s.Thresholds.GetLatency, s.Thresholds.ListLatency = DurationLimits{}, DurationLimits{} // a busy test machine
		return s
	}
	stranger, err := server.KubeconfigFor("stranger")
	must(t, err)
	kubelet, err := server.KubeconfigFor("system:node:worker-1", "system:nodes")
	must(t, err)

	for name, c := range map[string]struct {
		kubeconfig string
		status     health.Status
		words      []string
	}{
		"client certificate": {server.Kubeconfig, health.OK, nil},
		"token":              {server.TokenKubeconfig, health.OK, nil},
		"a kubelet's own":    {kubelet, health.OK, nil},
		"user without rights": {stranger, health.Unknown, []string{
			"does not allow this user to get /api/v1/namespaces/default/services/kubernetes", "stranger", `cannot get resource`,
			"does not allow this user to list /api/v1/services", `cannot list resource`}},
	} {
		t.Run(name, func(t *testing.T) {
			check := newCheck(t, settings(c.kubeconfig))
			until(t, "the server has settled", func() bool {
				return run(t, check, apiTimeout).results[host].Status == c.status
			})
			s := run(t, check, apiTimeout)
			s.expect(t, host, c.status, c.words...)
			t.Logf("%+v", s.results[host])
			for m, want := range map[*Metric]float64{&apiUp: 1} {
				if got := s.value(t, m, host); got != want {
					t.Errorf("%s: %v", m.Name, got)
				}
			}
			for _, path := range []string{"/livez", "/readyz"} {
				if n := s.value(t, &apiChecks, host, path); n < 20 || s.value(t, &apiChecksFailed, host, path) != 0 {
					t.Errorf("%s: %v checks", path, n)
				}
			}
			for _, operation := range apiOperations {
				allowed := c.status == health.OK || operation == "livez" || operation == "readyz"
				if s.value(t, &apiSuccess, host, operation) != boolean(allowed) || s.value(t, &apiLast, host, operation) <= 0 {
					t.Errorf("%s", operation)
				}
			}
			if len(s.samples) > 30 {
				t.Errorf("%d series for one endpoint", len(s.samples))
			}
		})
	}

	t.Run("nobody", func(t *testing.T) {
		s := settings("")
		s.Endpoints = []string{server.URL}
		run(t, newCheck(t, s), apiTimeout).expect(t, host, health.Critical, "certificate signed by unknown authority")
	})

	t.Run("object that is not there", func(t *testing.T) {
		s := settings(server.Kubeconfig)
		s.GetPath = "/api/v1/namespaces/kube-system/configmaps/none"
		run(t, newCheck(t, s), apiTimeout).expect(t, host, health.OK)
	})

	t.Run("through the service address and by another name", func(t *testing.T) {
		port, err := real.FreePort()
		must(t, err)
		s := settings(server.Kubeconfig)
		s.Endpoints = []string{server.URL}
		s.ServiceAddress = hostPort(port)
		s.ServerName = "kubernetes.default.svc"
		got := run(t, newCheck(t, s), apiTimeout)
		got.expect(t, hostPort(port), health.Critical, "API server through its Service "+hostPort(port)+" does not answer: connection refused")
		if r := got.results[host]; r.Status != health.OK && !strings.Contains(r.Reason, "x509: certificate is valid for") {
			t.Errorf("by name: %+v", r)
		}
		t.Logf("%+v", got.results)
	})

	t.Run("paused", func(t *testing.T) {
		check := newCheck(t, settings(server.Kubeconfig))
		run(t, check, apiTimeout).expect(t, host, health.OK)
		must(t, server.Pause())
		defer func() { must(t, server.Resume()) }()
		time.Sleep(100 * time.Millisecond) // until the last of its threads has stopped
		run(t, check, apiTimeout).expect(t, host, health.Critical, "does not answer: no answer within 3.6", "connected, but the request was not answered")
		must(t, server.Resume())
		until(t, "it is well again", func() bool { return run(t, check, apiTimeout).results[host].Status == health.OK })
	})

	t.Run("etcd hangs", func(t *testing.T) {
		check := newCheck(t, settings(server.Kubeconfig))
		must(t, etcd.Members[0].Pause())
		defer func() { must(t, etcd.Members[0].Resume()) }()
		begun := time.Now()
		until(t, "etcd is named", func() bool {
			return strings.Contains(run(t, check, apiTimeout).results[host].Reason, "z: etcd")
		})
		s := run(t, check, apiTimeout)
		s.expect(t, host, health.Critical, "API server "+host+" fails on /", "z: etcd")
		t.Logf("after %v: %+v", time.Since(begun), s.results[host])
		must(t, etcd.Members[0].Resume())
		until(t, "it is well again", func() bool { return run(t, check, apiTimeout).results[host].Status == health.OK })
	})

	t.Run("etcd gone", func(t *testing.T) {
		check := newCheck(t, settings(server.Kubeconfig))
		must(t, etcd.Members[0].Kill())
		until(t, "the server's own check of etcd is named", func() bool {
			return strings.Contains(run(t, check, apiTimeout).results[host].Reason, "z: etcd")
		})
		s := run(t, check, apiTimeout)
		s.expect(t, host, health.Critical, "/api/v1/namespaces/default/services/kubernetes: no answer within 3.")
		t.Logf("%+v", s.results[host])
		if s.value(t, &apiSuccess, host, "get") != 0 {
			t.Error("get")
		}
		if s.value(t, &apiChecksFailed, host, "/livez") > 0 && s.value(t, &apiCheckFailed, host, "/livez", "etcd") != 1 {
			t.Error("the failed check is not exported by name")
		}
		must(t, server.Kill()) // without etcd it would take its time to stop
	})
}
