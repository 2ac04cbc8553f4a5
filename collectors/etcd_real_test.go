package collectors

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// etcdTimeout is the check's default timeout.
const etcdTimeout = 2 * time.Second

// patient are thresholds that a busy test machine does not reach.
func patient(s *etcdSettings) *etcdSettings {
	long := DurationLimits{Warning: 3 * time.Second}
	s.Thresholds.ReadLatency, s.Thresholds.WALFsyncP99, s.Thresholds.BackendCommitP99, s.Thresholds.PeerRoundTripP99 = long, long, long, long
	return s
}

func hostOf(t *testing.T, endpoint string) string {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// etcdClient writes what a check never would.
func etcdClient(t *testing.T, conf clientv3.Config) *clientv3.Client {
	t.Helper()
	conf.Logger, conf.DialTimeout = zap.NewNop(), 10*time.Second
	c, err := clientv3.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestEtcdCluster(t *testing.T) {
	pki, err := real.NewPKI(t.TempDir(), "etcd-ca")
	if err != nil {
		t.Fatal(err)
	}
	cluster := real.NeedEtcd(t, real.EtcdOptions{Members: 3, PKI: pki})
	settings := func() *etcdSettings {
		s := patient(defaultEtcdSettings())
		s.Endpoints = cluster.Endpoints()
		s.CAFile, s.CertFile, s.KeyFile = pki.CAFile(), cluster.ClientCert.CertFile, cluster.ClientCert.KeyFile
		return s
	}
	check := newCheck(t, settings())
	var hosts []string
	for _, e := range cluster.Endpoints() {
		hosts = append(hosts, hostOf(t, e))
	}
	leader := func(s seen) int {
		for i, host := range hosts {
			if s.value(t, &etcdIsLeader, host) == 1 {
				return i
			}
		}
		t.Fatal("nobody leads")
		return 0
	}
	healthy := func() bool {
		s := run(t, check, etcdTimeout)
		return health.Worst(mapValues(s.results)) == health.OK
	}

	t.Run("healthy", func(t *testing.T) {
		until(t, "all are well", healthy)
		conf, err := check.(*etcdCheck).files.config()
		if err != nil {
			t.Fatal(err)
		}
		client := etcdClient(t, clientv3.Config{Endpoints: cluster.Endpoints(), TLS: conf})
		for range 5 { // so that the WAL is written between two runs
			if _, err := client.Put(t.Context(), "grapevine-test", "x"); err != nil {
				t.Fatal(err)
			}
		}
		s := run(t, check, etcdTimeout)
		leaders := 0.0
		for i, host := range hosts {
			s.expect(t, host, health.OK)
			leaders += s.value(t, &etcdIsLeader, host)
			for m, want := range map[*Metric]float64{&etcdUp: 1, &etcdHasLeader: 1, &etcdMetricsUp: 1, &etcdMembers: 3, &etcdLearners: 0, &etcdIsLearner: 0, &etcdRecentLeaderChanges: 0} {
				if got := s.value(t, m, host); got != want {
					t.Errorf("%s of %s: %v, want %v", m.Name, host, got, want)
				}
			}
			for _, m := range []*Metric{&etcdDatabaseSize, &etcdDatabaseInUse, &etcdDatabaseQuota, &etcdTerm, &etcdFsyncP50, &etcdFsyncP99, &etcdLeaderChanges} {
				if got := s.value(t, m, host); got <= 0 {
					t.Errorf("%s of %s: %v", m.Name, host, got)
				}
			}
			if p50, p99 := s.value(t, &etcdFsyncP50, host), s.value(t, &etcdFsyncP99, host); p50 > p99 {
				t.Errorf("p50 %v above p99 %v", p50, p99)
			}
			for _, c := range []string{"linearizable", "serializable"} {
				if s.value(t, &etcdReadSuccess, host, c) != 1 || s.value(t, &etcdReadLast, host, c) <= 0 {
					t.Errorf("%s read of %s", c, host)
				}
			}
			if at := s.value(t, &etcdExpiry, host); at < float64(time.Now().Unix()) {
				t.Errorf("the certificate of %s expires at %v", host, at)
			}
			for _, phase := range []string{"dial", "tls", "request"} {
				if got := s.value(t, &etcdPhase, host, phase); got <= 0 || got > 1 {
					t.Errorf("phase %s of %s: %v s", phase, host, got)
				}
			}
			name := cluster.Members[i].Name
			if s.value(t, &etcdPeerUp, name) != 1 || s.value(t, &etcdPeerContact, hosts[(i+1)%3], name) != 1 {
				t.Errorf("no contact to %s", name)
			}
			s.value(t, &etcdInfo, host, name, "3.7.3")
			if s.value(t, &etcdAlarm, host, name, "NOSPACE") != 0 || s.value(t, &etcdAlarm, host, name, "CORRUPT") != 0 {
				t.Errorf("alarms of %s", host)
			}
		}
		if leaders != 1 {
			t.Errorf("%v leaders", leaders)
		}
		s.expect(t, membersSubject, health.OK)
	})

	// One endpoint each, with something wrong about how it is asked.
	for name, c := range map[string]struct {
		change func(*etcdSettings)
		status health.Status
		words  []string
	}{
		"no client certificate": {func(s *etcdSettings) { s.CertFile, s.KeyFile = "", "" }, health.Unknown, []string{"refuses", "certificate"}},
		"wrong CA": {func(s *etcdSettings) {
			other, err := real.NewPKI(t.TempDir(), "other-ca")
			if err != nil {
				t.Fatal(err)
			}
			s.CAFile = other.CAFile()
		}, health.Critical, []string{"does not answer", "certificate signed by unknown authority"}},
		"client certificate of another CA": {func(s *etcdSettings) {
			other, err := real.NewPKI(t.TempDir(), "other-ca")
			if err != nil {
				t.Fatal(err)
			}
			cert, err := other.Issue("stranger", real.CertOptions{Client: true})
			if err != nil {
				t.Fatal(err)
			}
			s.CertFile, s.KeyFile = cert.CertFile, cert.KeyFile
		}, health.Unknown, []string{"refuses", "certificate"}},
		"http to an https port": {func(s *etcdSettings) { s.Endpoints[0] = strings.Replace(s.Endpoints[0], "https", "http", 1) },
			health.Critical, []string{"does not answer", "https"}},
		"https to an http port": {func(s *etcdSettings) {
			s.Endpoints[0] = strings.Replace(cluster.Members[0].MetricsURL, "http", "https", 1)
		},
			health.Critical, []string{"does not answer", "first record does not look like a TLS handshake"}},
		"metrics at the wrong place": {func(s *etcdSettings) { s.MetricsURLs = []string{cluster.Members[0].MetricsURL + "/nowhere"} },
			health.Unknown, []string{"its metrics cannot be read", "404"}},
		"metrics at their own port": {func(s *etcdSettings) { s.MetricsURLs = []string{cluster.Members[0].MetricsURL} }, health.OK, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.Endpoints = s.Endpoints[:1:1]
			c.change(s)
			got := run(t, newCheck(t, s), etcdTimeout)
			got.expect(t, hostOf(t, s.Endpoints[0]), c.status, c.words...)
			t.Logf("%+v", got.results[hostOf(t, s.Endpoints[0])])
		})
	}

	t.Run("renewed certificate", func(t *testing.T) {
		s := settings()
		dir := t.TempDir()
		s.Endpoints, s.CertFile, s.KeyFile = s.Endpoints[:1:1], filepath.Join(dir, "c.crt"), filepath.Join(dir, "c.key")
		other, err := real.NewPKI(t.TempDir(), "other-ca")
		if err != nil {
			t.Fatal(err)
		}
		wrong, err := other.Issue("stranger", real.CertOptions{Client: true})
		if err != nil {
			t.Fatal(err)
		}
		copyFile(t, wrong.CertFile, s.CertFile)
		copyFile(t, wrong.KeyFile, s.KeyFile)
		check := newCheck(t, s)
		run(t, check, etcdTimeout).expect(t, hosts[0], health.Unknown, "refuses")
		copyFile(t, cluster.ClientCert.CertFile, s.CertFile)
		copyFile(t, cluster.ClientCert.KeyFile, s.KeyFile)
		run(t, check, etcdTimeout).expect(t, hosts[0], health.OK)
	})

	t.Run("endpoints against members", func(t *testing.T) {
		port, err := real.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		s := settings()
		nobody := "https://" + hostPort(port)
		s.Endpoints = []string{s.Endpoints[0], s.Endpoints[1], nobody}
		got := run(t, newCheck(t, s), etcdTimeout)
		got.expect(t, hosts[0], health.OK)
		got.expect(t, hostPort(port), health.Critical, "etcd endpoint "+hostPort(port)+" does not answer: connection refused")
		got.expect(t, membersSubject, health.Warning, "client URL of no member", cluster.Members[2].Name+" ("+cluster.Members[2].ClientURL+") is asked by no configured endpoint")
	})

	t.Run("leader stopped", func(t *testing.T) {
		first := leader(run(t, check, etcdTimeout))
		must(t, cluster.Members[first].Pause())
		defer func() { must(t, cluster.Members[first].Resume()) }()
		until(t, "the others have a new leader and say who is silent", func() bool {
			s := run(t, check, etcdTimeout)
			well := s.results[hosts[first]].Status == health.Critical
			for i, host := range hosts {
				well = well && (i == first || s.results[host].Status == health.OK)
			}
			if well {
				s.expect(t, hosts[first], health.Critical, "etcd member "+cluster.Members[first].Name+" at "+hosts[first]+" does not answer: no answer within 1.8")
			}
			return well
		})
		until(t, "nobody answers at its peer URL", func() bool {
			return strings.Contains(run(t, check, etcdTimeout).results[membersSubject].Reason,
				"nobody answers at "+cluster.Members[first].PeerURL+", the peer URL of member "+cluster.Members[first].Name)
		})
		s := run(t, check, etcdTimeout)
		s.expect(t, membersSubject, health.Warning)
		s.expect(t, hosts[first], health.Critical, "TLS handshake was not answered")
		t.Logf("%+v", s.results)
		must(t, cluster.Members[first].Resume())
		until(t, "it is well again", healthy)
		s = run(t, check, etcdTimeout)
		for _, host := range hosts {
			if s.value(t, &etcdRecentLeaderChanges, host) < 1 {
				t.Errorf("%s saw no leader change", host)
			}
		}
	})

	t.Run("member killed and back", func(t *testing.T) {
		must(t, cluster.Members[2].Kill())
		run(t, check, etcdTimeout)
		s := run(t, check, etcdTimeout)
		s.expect(t, hosts[2], health.Critical, "does not answer: connection refused")
		if s.value(t, &etcdUp, hosts[2]) != 0 {
			t.Error("up")
		}
		time.Sleep(2 * time.Second) // let the back-off grow
		must(t, cluster.Members[2].Start(t.Context()))
		runs := 0
		until(t, "it is seen again", func() bool {
			runs++
			time.Sleep(time.Second)
			return run(t, check, etcdTimeout).results[hosts[2]].Status == health.OK
		})
		if runs > 3 {
			t.Errorf("seen only after %d runs", runs)
		}
	})

	t.Run("quorum hangs", func(t *testing.T) {
		for _, m := range cluster.Members[1:] {
			must(t, m.Pause())
			defer func() { must(t, m.Resume()) }()
		}
		until(t, "the one left names those that hang", func() bool {
			return strings.Contains(run(t, check, etcdTimeout).results[hosts[0]].Reason, "the quorum is lost: it reaches 1 of 3 voting members, itself included, and not etcd-1, etcd-2")
		})
	})

	t.Run("quorum lost", func(t *testing.T) {
		must(t, cluster.Members[1].Kill())
		must(t, cluster.Members[2].Kill())
		until(t, "the one left says that there is no leader", func() bool {
			s := run(t, check, etcdTimeout)
			if s.results[hosts[0]].Status != health.Critical || !strings.Contains(s.results[hosts[0]].Reason, "has no leader") {
				return false
			}
			if s.value(t, &etcdUp, hosts[0]) != 1 || s.value(t, &etcdHasLeader, hosts[0]) != 0 ||
				s.value(t, &etcdReadSuccess, hosts[0], "linearizable") != 0 || s.value(t, &etcdReadSuccess, hosts[0], "serializable") != 1 {
				t.Errorf("samples of the one left: %+v", s.samples)
			}
			t.Logf("%+v", s.results)
			return true
		})
		// What a liveness probe sees of this.
		resp, err := http.Get(cluster.Members[0].MetricsURL + "/livez")
		must(t, err)
		defer resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("/livez answers %d: the test is about one that answers 200", resp.StatusCode)
		}
		s := run(t, check, etcdTimeout)
		s.expect(t, hosts[0], health.Critical, "has no leader", "the quorum is lost: it reaches 1 of 3 voting members",
			cluster.Members[1].Name, cluster.Members[2].Name)
		s.expect(t, membersSubject, health.Warning, "no contact from member", "connection refused")
		if s.value(t, &etcdPeerContact, hosts[0], cluster.Members[1].Name) != 0 || s.value(t, &etcdPeerUp, cluster.Members[2].Name) != 0 {
			t.Error("samples of the lost members")
		}
	})
}
