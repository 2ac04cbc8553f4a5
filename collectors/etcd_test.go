package collectors

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/grapevine-mesh/grapevine/health"
)

func TestEtcdSettings(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"defaults":           {"{}", ""},
		"one threshold":      {"thresholds: {wal_fsync_p99: {warning: 20ms}}", ""},
		"no port":            {"endpoints: [https://10.0.0.1]", "endpoints"},
		"no scheme":          {"endpoints: ['10.0.0.1:2379']", "endpoints"},
		"twice":              {"endpoints: ['https://a:1', 'http://a:1']", "twice"},
		"metrics of one":     {"{endpoints: ['https://a:1', 'https://b:1'], metrics_urls: ['http://a:2381']}", "metrics_urls"},
		"key alone":          {"{endpoints: ['https://a:1'], key_file: /k}", "cert_file"},
		"user alone":         {"{endpoints: ['https://a:1'], username: root}", "username"},
		"files, no endpoint": {"ca_file: /ca.crt", "endpoints"},
		"impossible timeout": {"timeout: 3s", "timeout"},
		"crossed thresholds": {"thresholds: {read_latency: {warning: 2s}}", "read_latency"},
		"expiry crossed":     {"thresholds: {certificate: {critical: 240h}}", "certificate"},
		"quota in percent":   {"thresholds: {database_quota: {critical: 95}}", "database_quota"},
	} {
		t.Run(name, func(t *testing.T) {
			s := defaultEtcdSettings()
			d := yaml.NewDecoder(strings.NewReader(c.yaml))
			d.KnownFields(true)
			if err := d.Decode(s); err != nil {
				t.Fatal(err)
			}
			err := s.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Validate: %v, want %q", err, c.want)
			}
			if s.Thresholds.WALFsyncP99.Critical != time.Second {
				t.Errorf("a default was lost: %+v", s.Thresholds.WALFsyncP99)
			}
		})
	}
}

func TestEtcdDetection(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  string // end of the CA's path, empty for absent
	}{
		"nothing":         {nil, ""},
		"kubeadm":         {[]string{"etc/kubernetes/manifests/etcd.yaml"}, "/etc/kubernetes/pki/etcd/ca.crt"},
		"kubeadm worker":  {[]string{"etc/kubernetes/pki/ca.crt"}, ""},
		"k3s":             {[]string{"var/lib/rancher/k3s/server/db/etcd/name"}, "/k3s/server/tls/etcd/server-ca.crt"},
		"k3s with sqlite": {[]string{"var/lib/rancher/k3s/server/db/state.db", "var/lib/rancher/k3s/server/tls/etcd/client.crt"}, ""},
		"RKE2":            {[]string{"var/lib/rancher/rke2/server/db/etcd/name"}, "/rke2/server/tls/etcd/server-ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			root := writeTree(t, c.files...)
			check, err := defaultEtcdSettings().New(envAt(root))
			if c.want == "" {
				if !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "manifests/etcd.yaml") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, check)
			if ca := check.(*etcdCheck).files.CA; !strings.HasSuffix(ca, c.want) {
				t.Errorf("CA file %s", ca)
			}
			// Found, but its certificates cannot be read: that is a verdict.
			run(t, check, time.Second).expect(t, "127.0.0.1:2379", health.Unknown, "cannot be asked", "ca.crt")
		})
	}
}

func writeTree(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range files {
		path := filepath.Join(root, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestEtcdNamesTheFileItCannotRead(t *testing.T) {
	s := defaultEtcdSettings()
	s.Endpoints = []string{"https://127.0.0.1:2379"}
	s.CAFile = filepath.Join(t.TempDir(), "missing.crt")
	if _, err := s.New(testEnv()); err == nil || !strings.Contains(err.Error(), s.CAFile) {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(s.CAFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.New(testEnv()); err == nil || !strings.Contains(err.Error(), s.CAFile) {
		t.Errorf("error %v", err)
	}
}

const expositionHead = `# HELP etcd_disk_wal_fsync_duration_seconds The latency distributions of fsync called by WAL.
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 3
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 4
etcd_disk_wal_fsync_duration_seconds_sum 0.1
etcd_disk_wal_fsync_duration_seconds_count 4
`

func TestReadFigures(t *testing.T) {
	f, err := readFigures(strings.NewReader(expositionHead + `# TYPE etcd_server_quota_backend_bytes gauge
etcd_server_quota_backend_bytes 2.147483648e+09
# TYPE etcd_network_peer_round_trip_time_seconds histogram
etcd_network_peer_round_trip_time_seconds_bucket{To="a1",le="0.1"} 1
etcd_network_peer_round_trip_time_seconds_bucket{To="a1",le="+Inf"} 1
etcd_network_peer_round_trip_time_seconds_sum{To="a1"} 0.01
etcd_network_peer_round_trip_time_seconds_count{To="a1"} 1
# TYPE etcd_disk_wal_fsync_duration_seconds_other gauge
etcd_disk_wal_write_bytes_total garbage that is not looked at
`))
	if err != nil {
		t.Fatal(err)
	}
	if f.fsync.total() != 4 || f.quota != 2<<30 || f.peers["a1"].total() != 1 || f.leaderChanges != -1 {
		t.Errorf("figures %+v", f)
	}
	for name, c := range map[string]struct {
		body io.Reader
		want string
	}{
		"HTML":      {strings.NewReader("<html><body>Hello</body></html>"), "holds no"},
		"empty":     {strings.NewReader(""), "holds no"},
		"garbage":   {strings.NewReader(expositionHead + "etcd_disk_wal_fsync_duration_seconds_sum{ x\n"), "reading metrics"},
		"endless":   {io.MultiReader(strings.NewReader(expositionHead), endless("some_metric 1\n")), "more than 8 MiB"},
		"long line": {endless("x"), "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readFigures(c.body); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// endless repeats itself for ever.
type endless string

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e[i%len(e)]
	}
	return len(p), nil
}

func TestEtcdHistoryCountsLeaderChanges(t *testing.T) {
	now := time.Unix(0, 0)
	h := newEtcdHistory(func() time.Time { return now })
	run := func(counter float64, leader uint64) float64 {
		h.changes(counter)
		h.last.leaderChanges, h.hasLast = counter, true
		h.leader(leader)
		now = now.Add(3 * time.Second)
		return h.recentLeaderChanges()
	}
	for i, step := range []struct {
		counter float64
		leader  uint64
		want    float64
	}{
		{7, 1, 0},   // what was before we came does not count
		{8, 2, 1},   // seen by both: once
		{9, 0, 2},   // by the counter only
		{-1, 3, 2},  // metrics gone; we see the second of our own
		{-1, 4, 3},  // the third
		{1, 4, 3},   // back
		{0, 4, 3},   // restarted
		{4, 4, 6},   // four at once
		{4, 4, 6},   // quiet
		{10, 4, 12}, // more
	} {
		if got := run(step.counter, step.leader); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	now = now.Add(leaderWindow)
	if got := h.recentLeaderChanges(); got != 0 {
		t.Errorf("after the window: %v", got)
	}
}

func TestEtcdHistoryHoldsALatency(t *testing.T) {
	now := time.Unix(0, 0)
	h := newEtcdHistory(func() time.Time { return now })
	at := func(slow float64) buckets { return buckets{[]float64{0.5, 1, 2}, []float64{0, 0, slow}} }
	if i := h.latency("fsync", at(5), buckets{}); i.measured || i.p99 != 0 {
		t.Errorf("the first reading has no interval: %+v", i)
	}
	h.hasLast = true
	if i := h.latency("fsync", at(15), at(5)); !i.measured || i.p99 < 0.9 {
		t.Errorf("slow writes: %+v", i)
	}
	now = now.Add(30 * time.Second)
	if i := h.latency("fsync", at(15), at(15)); i.measured || i.p99 < 0.9 {
		t.Errorf("nothing written: %+v", i)
	}
	now = now.Add(figureHold)
	if i := h.latency("fsync", at(15), at(15)); i.measured || i.p99 != 0 {
		t.Errorf("nothing written for long: %+v", i)
	}
}

func TestEtcdJudgesSlowDisk(t *testing.T) {
	s := defaultEtcdSettings()
	target := &etcdTarget{subject: "10.0.0.1:2379", settings: s, history: newEtcdHistory(time.Now)}
	figures := func(slow int) etcdFigures {
		f, err := readFigures(strings.NewReader(fmt.Sprintf(`# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.512"} 100
etcd_disk_wal_fsync_duration_seconds_bucket{le="1.024"} %d
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} %d
etcd_disk_wal_fsync_duration_seconds_sum 1
etcd_disk_wal_fsync_duration_seconds_count %d
`, 100+slow, 100+slow, 100+slow)))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	judge := func(f etcdFigures) (seen, health.Result) {
		r, a := NewReport(time.Now), &assessment{about: "etcd endpoint 10.0.0.1:2379"}
		target.judgeFigures(r, a, f)
		a.verdict(r, target.subject)
		samples, results := r.Take()
		return seen{samples: samples}, results[0]
	}
	if s, got := judge(figures(0)); got.Status != health.OK || s.has(&etcdFsyncP99) {
		t.Errorf("at first: %+v", got)
	}
	s1, got := judge(figures(40))
	if got.Status != health.Critical || !strings.Contains(got.Reason, "WAL fsync: its disk is slow") || got.Evidence.Threshold != 1 {
		t.Errorf("slow: %+v", got)
	}
	if v := s1.value(t, &etcdFsyncP99, target.subject); v < 1 || v > 1.024 {
		t.Errorf("p99 %v", v)
	}
	if s, got := judge(figures(40)); got.Status != health.Critical || s.has(&etcdFsyncP99) {
		t.Errorf("nothing written since: %+v", got)
	}
}

func TestEtcdThatWasClosedStillReports(t *testing.T) {
	s := defaultEtcdSettings()
	s.Endpoints = []string{"http://127.0.0.1:2379"}
	check := newCheck(t, s)
	must(t, check.(io.Closer).Close())
	run(t, check, time.Second).expect(t, "127.0.0.1:2379", health.Critical, errClosed.Error())
}
