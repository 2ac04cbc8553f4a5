package collectors

import (
	"net"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestEtcdMemberOfAnotherCluster starts one of three members anew as an
// operator does who has lost its data and its --initial-cluster-token.
func TestEtcdMemberOfAnotherCluster(t *testing.T) {
	t.Parallel()
	cluster := real.NeedEtcd(t, real.EtcdOptions{Members: 3})
	s := patient(defaultEtcdSettings())
	s.Endpoints = cluster.Endpoints()
	for _, m := range cluster.Members {
		s.MetricsURLs = append(s.MetricsURLs, m.MetricsURL)
	}
	check := newCheck(t, s)
	until(t, "all are well", func() bool {
		return health.Worst(mapValues(run(t, check, etcdTimeout).results)) == health.OK
	})

	lost := cluster.Members[2]
	must(t, lost.Kill())
	var peers []string
	for _, m := range cluster.Members {
		peers = append(peers, m.Name+"="+m.PeerURL)
	}
	wrong := real.NewProcess(real.Command{Name: "wrong-token", Path: real.Binary(t, "etcd"), Args: []string{
		"--name=" + lost.Name, "--data-dir=" + t.TempDir(), "--initial-cluster-token=another",
		"--initial-cluster=" + strings.Join(peers, ","), "--initial-cluster-state=new",
		"--listen-client-urls=" + lost.ClientURL, "--advertise-client-urls=" + lost.ClientURL,
		"--listen-peer-urls=" + lost.PeerURL, "--initial-advertise-peer-urls=" + lost.PeerURL,
		"--listen-metrics-urls=" + lost.MetricsURL,
	}})
	must(t, wrong.Start())
	defer func() { must(t, wrong.Kill()) }()

	named := func(check Collector) func() bool {
		return func() bool {
			return strings.Contains(run(t, check, etcdTimeout).results[membersSubject].Reason, "the peer URL of member "+lost.Name+", another cluster answers")
		}
	}
	until(t, "the member is named", named(check))
	until(t, "it is seen that its client port is not served", func() bool {
		reason := run(t, check, etcdTimeout).results[hostOf(t, lost.ClientURL)].Reason
		return strings.Contains(reason, "the request was not answered")
	})
	got := run(t, check, etcdTimeout)
	got.expect(t, membersSubject, health.Critical, lost.PeerURL, "started with another cluster token", "to its peer "+lost.Name)
	got.expect(t, hostOf(t, lost.ClientURL), health.Critical, "etcd member "+lost.Name, "no answer within", "the request was not answered", "knows no leader, by its metrics")
	got.expect(t, hostOf(t, cluster.Members[0].ClientURL), health.OK)
	if got.value(t, &etcdPeerUp, lost.Name) != 0 || got.value(t, &etcdPeerUp, cluster.Members[0].Name) != 1 {
		t.Error("samples of the peer URLs")
	}
	t.Logf("%+v", got.results)

	// A node that asks only its own member sees it too.
	s = patient(defaultEtcdSettings())
	s.Endpoints = cluster.Endpoints()[:1]
	until(t, "another member's node names it", named(newCheck(t, s)))

	// With its own data, but listening where nobody looks for it: the member
	// takes part, as it connects to the others itself.
	must(t, wrong.Kill())
	port, err := real.FreePort()
	must(t, err)
	moved := real.NewProcess(real.Command{Name: "moved", Path: real.Binary(t, "etcd"), Args: []string{
		"--name=" + lost.Name, "--data-dir=" + lost.DataDir, "--initial-cluster=" + strings.Join(peers, ","),
		"--listen-client-urls=" + lost.ClientURL, "--advertise-client-urls=" + lost.ClientURL,
		"--listen-peer-urls=http://" + hostPort(port), "--initial-advertise-peer-urls=" + lost.PeerURL,
		"--listen-metrics-urls=" + lost.MetricsURL,
	}})
	must(t, moved.Start())
	defer func() { must(t, moved.Kill()) }()
	until(t, "the peer URL that nobody listens at is named", func() bool {
		got = run(t, check, etcdTimeout)
		return strings.HasPrefix(got.results[membersSubject].Reason, "etcd: nobody answers at "+lost.PeerURL+", the peer URL of member "+lost.Name+": connection refused") &&
			got.results[hostOf(t, lost.ClientURL)].Status == health.OK
	})
	got.expect(t, membersSubject, health.Warning)
	t.Logf("%+v", got.results)
}

func TestEtcdEndpointsOfTwoClusters(t *testing.T) {
	t.Parallel()
	one, other := real.NeedEtcd(t, real.EtcdOptions{}), real.NeedEtcd(t, real.EtcdOptions{})
	s := patient(defaultEtcdSettings())
	s.Endpoints = append(one.Endpoints(), other.Endpoints()...)
	got := run(t, newCheck(t, s), etcdTimeout)
	got.expect(t, membersSubject, health.Critical, "endpoint "+hostOf(t, s.Endpoints[1])+" belongs to another cluster")
	for _, e := range s.Endpoints {
		got.expect(t, hostOf(t, e), health.OK)
	}
}

func TestEtcdCorruptAlarm(t *testing.T) {
	t.Parallel()
	cluster := real.NeedEtcd(t, real.EtcdOptions{})
	host := hostOf(t, cluster.Members[0].ClientURL)
	s := patient(defaultEtcdSettings())
	s.Endpoints = cluster.Endpoints()
	check := newCheck(t, s)
	run(t, check, etcdTimeout).expect(t, host, health.OK)

	conn := etcdClient(t, clientv3.Config{Endpoints: cluster.Endpoints()}).ActiveConnection()
	state, err := pb.NewMaintenanceClient(conn).Status(t.Context(), &pb.StatusRequest{})
	must(t, err)
	_, err = pb.NewMaintenanceClient(conn).Alarm(t.Context(), &pb.AlarmRequest{
		Action: pb.AlarmRequest_ACTIVATE, MemberID: state.GetHeader().GetMemberId(), Alarm: pb.AlarmType_CORRUPT})
	must(t, err)
	got := run(t, check, etcdTimeout)
	got.expect(t, host, health.Critical, "has alarm CORRUPT of member etcd-0", "its data differ")
	if got.value(t, &etcdAlarm, host, "etcd-0", "CORRUPT") != 1 || got.value(t, &etcdAlarm, host, "etcd-0", "NOSPACE") != 0 {
		t.Error("samples of the alarms")
	}
	t.Logf("%+v", got.results)
}

func TestEtcdCertificateExpires(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		left   time.Duration
		status health.Status
		words  []string
	}{
		"soon":      {5 * 24 * time.Hour, health.Warning, []string{"has a certificate that expires in 5.0 days, on "}},
		"very soon": {2 * time.Hour, health.Critical, []string{"has a certificate that expires in 2 h, on "}},
		"expired":   {-time.Hour, health.Critical, []string{"does not answer: its certificate has expired on 20"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pki, err := real.NewPKI(t.TempDir(), "etcd-ca")
			must(t, err)
			notAfter := time.Now().Add(c.left)
			cluster := real.NeedEtcd(t, real.EtcdOptions{PKI: pki, NotAfter: notAfter})
			host := hostOf(t, cluster.Members[0].ClientURL)
			s := patient(defaultEtcdSettings())
			s.Endpoints, s.MetricsURLs = cluster.Endpoints(), []string{cluster.Members[0].MetricsURL}
			s.CAFile, s.CertFile, s.KeyFile = pki.CAFile(), cluster.ClientCert.CertFile, cluster.ClientCert.KeyFile
			check := newCheck(t, s)
			got := run(t, check, etcdTimeout)
			got.expect(t, host, c.status, append(c.words, notAfter.UTC().Format("2006-01-02"))...)
			if at := got.value(t, &etcdExpiry, host); at != float64(notAfter.Unix()) {
				t.Errorf("expiry %v, want %v", at, notAfter.Unix())
			}
			t.Logf("%+v", got.results[host])

			// Renewed: the connection that is kept would not tell.
			_, err = pki.Issue("etcd", real.CertOptions{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}})
			must(t, err)
			check.(*etcdCheck).targets[0].door.next = time.Time{}
			until(t, "the new certificate is seen", func() bool {
				return run(t, check, etcdTimeout).results[host].Status == health.OK
			})
		})
	}
}
