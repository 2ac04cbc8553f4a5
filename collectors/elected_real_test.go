package collectors

import (
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// electedTimeout is the checks' default timeout.
const electedTimeout = 2400 * time.Millisecond

// electedOf is the check of one or more instances, seen from the machine of
// the first, with its own credentials.
func electedOf(part *elected, instances ...*real.Component) *electedSettings {
	s := defaultElectedSettings(part)
	for _, instance := range instances {
		s.Endpoints = append(s.Endpoints, instance.URL)
	}
	s.Kubeconfig, s.Hostname = instances[0].Kubeconfig, instances[0].Hostname
	s.Thresholds.Certificate = ExpiryLimits{} // those of the tests last a day
	return s
}

// As kubeadm has them: each instance shows a certificate that it has made for
// itself.
func TestScheduler(t *testing.T) {
	t.Parallel()
	plane := real.NeedControlPlane(t, real.ControlPlaneOptions{Schedulers: 2})
	first, second := plane.Schedulers[0], plane.Schedulers[1]
	leads, standsBy := hostOf(t, first.URL), hostOf(t, second.URL)
	m := &scheduler.metrics
	here := newCheck(t, electedOf(scheduler, first, second))
	there := newCheck(t, electedOf(scheduler, second))
	var s seen
	until(t, "both are ready", func() bool {
		s = run(t, here, electedTimeout)
		return s.results[leads].Status == health.OK && s.results[standsBy].Status == health.OK
	})
	s.expect(t, leaseSubject, health.OK)
	for _, host := range []string{leads, standsBy} {
		for _, path := range electedPaths {
			if s.value(t, &m.success, host, path) != 1 || s.value(t, &m.last, host, path) <= 0 {
				t.Errorf("%s of %s", path, host)
			}
		}
		if s.value(t, &m.up, host) != 1 || s.value(t, &m.checkUp, host, "/healthz", "leaderElection") != 1 {
			t.Errorf("%s is not up", host)
		}
		if s.value(t, &m.verified, host, trustedByNone) != 0 || s.value(t, &m.expiry, host) < float64(time.Now().Unix()) {
			t.Errorf("certificate of %s", host)
		}
	}
	if s.value(t, &m.isLeader) != 1 || s.value(t, &m.leaseHolder, first.Hostname) != 1 || s.value(t, &m.leaseTransitions) != 0 ||
		s.value(t, &m.leaseDuration) != 15 || s.value(t, &m.leaseSuccess) != 1 || s.value(t, &m.leaseRenewed) < float64(time.Now().Add(-time.Minute).Unix()) {
		t.Errorf("lease: %v", s.samples)
	}
	standby := run(t, there, electedTimeout)
	if standby.value(t, &m.isLeader) != 0 || standby.value(t, &m.leaseHolder, first.Hostname) != 1 {
		t.Error("the second takes itself for the leader")
	}
	standby.expect(t, leaseSubject, health.OK)

	// The leader hangs. That must be known, by two runs in a row as the
	// schedule has them, before the other one takes over.
	must(t, first.Pause())
	hung := time.Now()
	confirmed := 0
	for next := 3 * time.Second; confirmed < 2; time.Sleep(next) {
		s = run(t, there, electedTimeout)
		age := s.value(t, &m.leaseAge)
		t.Logf("%.1f s after the leader hangs: age %.1f s, %s", time.Since(hung).Seconds(), age, s.results[leaseSubject].Reason)
		if s.results[leaseSubject].Status != health.Critical {
			confirmed = 0
		} else {
			confirmed, next = confirmed+1, time.Second
		}
		if time.Since(hung) > 30*time.Second {
			t.Fatal("it was never known")
		}
	}
	lease, err := plane.APIServer.Lease(t.Context(), "kube-system", "kube-scheduler")
	must(t, err)
	if lease.Transitions != 0 || !strings.HasPrefix(lease.Holder, first.Hostname+"_") {
		t.Errorf("it was known after the takeover: %+v", lease)
	}
	s.expect(t, leaseSubject, health.Critical, "lease kube-system/kube-scheduler has not been renewed by "+first.Hostname, "hangs or does not reach the API server")
	s.expect(t, standsBy, health.OK)
	s = run(t, here, electedTimeout)
	s.expect(t, leads, health.Critical, "kube-scheduler at "+leads+" does not answer: no answer within 2.1")
	s.expect(t, standsBy, health.OK)
	if s.value(t, &m.up, leads) != 0 || s.value(t, &m.success, leads, "/healthz") != 0 {
		t.Error("the leader is up")
	}

	until(t, "the other one takes over", func() bool {
		s = run(t, there, electedTimeout)
		return s.results[leaseSubject].Status == health.OK
	})
	if s.value(t, &m.isLeader) != 1 || s.value(t, &m.leaseTransitions) != 1 {
		t.Errorf("after the takeover: %v", s.samples)
	}

	must(t, first.Kill())
	must(t, second.Kill())
	until(t, "nobody leads", func() bool {
		s = run(t, there, electedTimeout)
		return strings.Contains(s.results[leaseSubject].Reason, "nobody leads")
	})
	s.expect(t, leaseSubject, health.Critical, "has run out", second.Hostname+" has not renewed it for", "no other kube-scheduler takes over")
	s.expect(t, standsBy, health.Critical, "does not answer: connection refused")

	// Who begins to look now has seen no renewal, and believes the clocks.
	late := newCheck(t, electedOf(scheduler, second))
	run(t, late, electedTimeout).expect(t, leaseSubject, health.Critical, "nobody leads")
}

// As RKE2 has it: the certificate is signed by a CA.
func TestControllerManager(t *testing.T) {
	t.Parallel()
	plane := real.NeedControlPlane(t, real.ControlPlaneOptions{ServingCerts: true})
	instance := plane.ControllerManagers[0]
	host := hostOf(t, instance.URL)
	m := &controllerManager.metrics

	check := newCheck(t, electedOf(controllerManager, instance))
	var s seen
	until(t, "it is well", func() bool {
		s = run(t, check, electedTimeout)
		return s.results[host].Status == health.OK
	})
	s.expect(t, leaseSubject, health.OK)
	if s.value(t, &m.verified, host, trustedByCluster) != 1 || s.value(t, &m.isLeader) != 1 {
		t.Errorf("%v", s.samples)
	}
	for _, sample := range s.samples {
		if sample.Metric == &m.success && sample.Labels[1] != "/healthz" {
			t.Errorf("it has no %s", sample.Labels[1])
		}
	}

	wrong, err := real.NewPKI(t.TempDir(), "another CA")
	must(t, err)
	for name, c := range map[string]struct {
		change func(*electedSettings)
		status health.Status
		words  string
		by     string
	}{
		"right CA":   {func(s *electedSettings) { s.CAFile = plane.APIServer.CAFile }, health.OK, "", trustedByCAFile},
		"wrong CA":   {func(s *electedSettings) { s.CAFile = wrong.CAFile() }, health.Critical, "does not answer: x509: certificate signed by unknown authority", trustedByNone},
		"right name": {func(s *electedSettings) { s.CAFile, s.ServerName = plane.APIServer.CAFile, "localhost" }, health.OK, "", trustedByCAFile},
		"wrong name": {func(s *electedSettings) { s.CAFile, s.ServerName = plane.APIServer.CAFile, "cp-1" }, health.Critical, "x509: certificate is valid for localhost, not cp-1", trustedByNone},
		"anybody":    {func(s *electedSettings) { s.InsecureSkipVerify = true }, health.OK, "", trustedByNone},
		"plain http": {func(s *electedSettings) { s.Endpoints[0] = strings.Replace(instance.URL, "https", "http", 1) }, health.Critical, "does not answer /healthz as a kube-controller-manager does: 400", ""},
	} {
		t.Run(name, func(t *testing.T) {
			settings := electedOf(controllerManager, instance)
			settings.LeaderElection = false
			c.change(settings)
			s := run(t, newCheck(t, settings), electedTimeout)
			s.expect(t, host, c.status, c.words)
			if c.by != "" && s.value(t, &m.verified, host, c.by) != boolean(c.by != trustedByNone) {
				t.Error("certificate")
			}
			if _, asked := s.results[leaseSubject]; asked {
				t.Error("the lease was asked for")
			}
		})
	}

	t.Run("expires soon", func(t *testing.T) {
		settings := electedOf(controllerManager, instance)
		settings.Thresholds.Certificate = ExpiryLimits{Warning: 400 * 24 * time.Hour, Critical: time.Hour}
		run(t, newCheck(t, settings), electedTimeout).expect(t, host, health.Warning, "has a certificate that expires in")
	})
	t.Run("no lease", func(t *testing.T) {
		settings := electedOf(controllerManager, instance)
		settings.LeaseName, settings.Kubeconfig = "nobody", plane.APIServer.Kubeconfig
		run(t, newCheck(t, settings), electedTimeout).expect(t, leaseSubject, health.Critical, "lease kube-system/nobody does not exist")
	})
	t.Run("no rights", func(t *testing.T) {
		settings := electedOf(controllerManager, instance)
		settings.Kubeconfig, err = plane.APIServer.KubeconfigFor("system:node:worker-1", "system:nodes")
		must(t, err)
		s := run(t, newCheck(t, settings), electedTimeout)
		s.expect(t, leaseSubject, health.Unknown, "cannot be read: the API server answers 403", "worker-1")
		if s.value(t, &m.leaseSuccess) != 0 || s.has(&m.isLeader) {
			t.Error("the lease was read")
		}
	})

	// It ends when the API server does before it has started its controllers.
	until(t, "its controllers are among its checks", func() bool {
		s = run(t, check, electedTimeout)
		checks := 0
		for _, sample := range s.samples {
			if sample.Metric == &m.checkUp {
				checks++
			}
		}
		return checks > 20
	})
	must(t, plane.APIServer.Kill())
	s = run(t, check, electedTimeout)
	s.expect(t, host, health.OK)
	s.expect(t, leaseSubject, health.Unknown, "lease kube-system/kube-controller-manager cannot be read: the API server does not answer: connection refused")
}
