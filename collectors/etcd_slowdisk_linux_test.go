package collectors

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestEtcdSlowDisk is the story this program exists for: one member's disk
// becomes slow, and the verdict names the member and its disk.
func TestEtcdSlowDisk(t *testing.T) {
	t.Parallel()
	disk := real.NeedSlowDisk(t)
	fine := t.TempDir()
	const slow = 1
	cluster := real.NeedEtcd(t, real.EtcdOptions{Members: 3, DataDir: func(i int) string {
		if i == slow {
			return filepath.Join(disk.Dir, "etcd")
		}
		return filepath.Join(fine, strconv.Itoa(i))
	}})
	defer func() { // it would take its time to stop
		disk.Heal()
		must(t, cluster.Members[slow].Kill())
	}()
	s := defaultEtcdSettings()
	s.Endpoints = cluster.Endpoints()
	s.Thresholds.ReadLatency, s.Thresholds.PeerRoundTripP99 = DurationLimits{}, DurationLimits{} // a busy test machine
	check := newCheck(t, s)
	host, name := hostOf(t, cluster.Members[slow].ClientURL), cluster.Members[slow].Name

	// A cluster is never idle: every node renews a lease.
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	defer writing.Wait()
	defer cancel()
	client := etcdClient(t, clientv3.Config{Endpoints: cluster.Endpoints()})
	writing.Go(func() {
		for ctx.Err() == nil {
			put, end := context.WithTimeout(ctx, time.Second)
			_, _ = client.Put(put, "lease", time.Now().String())
			end()
			time.Sleep(20 * time.Millisecond)
		}
	})
	until(t, "all are well", func() bool {
		return health.Worst(mapValues(run(t, check, etcdTimeout).results)) == health.OK
	})

	disk.Set(real.DiskFault{Fsync: 700 * time.Millisecond})
	begun := time.Now()
	until(t, "the slow disk is named", func() bool {
		return strings.Contains(run(t, check, etcdTimeout).results[host].Reason, "for a WAL fsync: its disk is slow")
	})
	got := run(t, check, etcdTimeout)
	t.Logf("after %v: %+v", time.Since(begun), got.results)
	if r := got.results[host]; !r.Status.WorseThan(health.OK) || !strings.HasPrefix(r.Reason, "etcd member "+name+" at "+host+" needs ") {
		t.Errorf("the slow member: %+v", r)
	}
	for i, m := range cluster.Members {
		if r := got.results[hostOf(t, m.ClientURL)]; i != slow && strings.Contains(r.Reason, "disk") {
			t.Errorf("a member whose disk is fine: %+v", r)
		}
	}
}
