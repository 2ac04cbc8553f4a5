package collectors

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

func TestEtcdUsersAndQuota(t *testing.T) {
	cluster := real.NeedEtcd(t, real.EtcdOptions{QuotaBytes: 1 << 20})
	endpoint := cluster.Endpoints()[0]
	host := hostOf(t, endpoint)
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	plain := etcdClient(t, clientv3.Config{Endpoints: cluster.Endpoints()})
	settings := func(user, password string) *etcdSettings {
		s := patient(defaultEtcdSettings())
		s.Endpoints = []string{endpoint}
		if user != "" {
			s.Username, s.PasswordFile = user, filepath.Join(t.TempDir(), "password")
			must(t, os.WriteFile(s.PasswordFile, []byte(password+"\n"), 0o600))
		}
		return s
	}

	for _, user := range []string{"root", "watcher"} {
		_, err := plain.UserAdd(ctx, user, "secret")
		must(t, err)
	}
	_, err := plain.RoleAdd(ctx, "root")
	must(t, err)
	_, err = plain.UserGrantRole(ctx, "root", "root")
	must(t, err)
	_, err = plain.AuthEnable(ctx)
	must(t, err)
	for name, c := range map[string]struct {
		user, password string
		status         health.Status
		words          string
	}{
		"administrator":     {"root", "secret", health.OK, ""},
		"user without role": {"watcher", "secret", health.OK, ""},
		"wrong password":    {"watcher", "wrong", health.Unknown, "refuses the credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, newCheck(t, settings(c.user, c.password)), etcdTimeout)
			got.expect(t, host, c.status, c.words)
			t.Logf("%+v", got.results)
		})
	}
	t.Run("no user", func(t *testing.T) {
		got := run(t, newCheck(t, settings("", "")), etcdTimeout)
		if got.results[host].Status == health.Critical || got.value(t, &etcdUp, host) != 1 {
			t.Errorf("a member that is well and asks who we are: %+v", got.results[host])
		}
		t.Logf("%+v", got.results)
	})
	t.Run("user of a member that is down", func(t *testing.T) {
		s := settings("root", "secret")
		port, err := real.FreePort()
		must(t, err)
		s.Endpoints = []string{"http://" + hostPort(port)}
		run(t, newCheck(t, s), etcdTimeout).expect(t, hostPort(port), health.Critical, "connection refused")
	})
	root := etcdClient(t, clientv3.Config{Endpoints: cluster.Endpoints(), Username: "root", Password: "secret"})
	_, err = root.AuthDisable(ctx)
	must(t, err)

	t.Run("quota", func(t *testing.T) {
		check := newCheck(t, settings("", ""))
		run(t, check, etcdTimeout).expect(t, host, health.OK)
		value := strings.Repeat("x", 100<<10)
		// etcd holds the quota against what it has committed, which lags
		// behind a quick writer: so write until it notices, not so many times.
		i := 0
		until(t, "the quota is reached", func() bool {
			i++
			_, err := plain.Put(ctx, fmt.Sprintf("fill%d", i), value)
			return err != nil
		})
		until(t, "the alarm is seen", func() bool {
			return strings.Contains(run(t, check, etcdTimeout).results[host].Reason, "NOSPACE")
		})
		s := run(t, check, etcdTimeout)
		s.expect(t, host, health.Critical, "alarm NOSPACE of member etcd-0", "of its quota of 1 MiB")
		if s.value(t, &etcdAlarm, host, "etcd-0", "NOSPACE") != 1 || s.value(t, &etcdDatabaseQuota, host) != 1<<20 {
			t.Error("samples of the alarm")
		}
		t.Logf("%+v", s.results[host])
	})

	t.Run("learner", func(t *testing.T) {
		if _, err := plain.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil {
			t.Fatal(err)
		}
		peerPort, err := real.FreePort()
		must(t, err)
		clientPort, err := real.FreePort()
		must(t, err)
		peer, client := "http://"+hostPort(peerPort), "http://"+hostPort(clientPort)
		_, err = plain.MemberAddAsLearner(ctx, []string{peer})
		must(t, err)
		single := newCheck(t, settings("", ""))
		run(t, single, etcdTimeout).expect(t, membersSubject, health.Warning, "was added and has never started")

		learner := real.NewProcess(real.Command{Name: "learner", Path: real.Binary(t, "etcd"), Args: []string{
			"--name=learner", "--data-dir=" + t.TempDir(), "--initial-cluster-state=existing",
			"--initial-cluster=" + cluster.Members[0].Name + "=" + cluster.Members[0].PeerURL + ",learner=" + peer,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		}})
		must(t, learner.Start())
		defer func() { must(t, learner.Stop()) }()
		s := settings("", "")
		s.Endpoints = append(s.Endpoints, client)
		check := newCheck(t, s)
		until(t, "the learner is well", func() bool {
			got := run(t, check, etcdTimeout)
			return got.results[hostPort(clientPort)].Status == health.OK && got.results[membersSubject].Status == health.OK
		})
		got := run(t, check, etcdTimeout)
		if got.value(t, &etcdIsLearner, hostPort(clientPort)) != 1 || got.value(t, &etcdLearners, host) != 1 {
			t.Error("samples of the learner")
		}
	})
}
