package real

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"
)

// syncFile writes a file and syncs it.
func syncFile(dir string) error {
	f, err := os.CreateTemp(dir, "")
	if err != nil {
		return err
	}
	_, err = f.WriteString("x")
	return errors.Join(err, f.Sync(), f.Close())
}

func TestSlowDisk(t *testing.T) {
	t.Parallel()
	d := NeedSlowDisk(t)
	if err := syncFile(d.Dir); err != nil || d.Fsyncs() != 1 {
		t.Fatalf("a disk that is well: %v, %d fsyncs", err, d.Fsyncs())
	}
	if entries, err := os.ReadDir(d.Backing); err != nil || len(entries) != 1 {
		t.Errorf("behind the disk: %v, %v", entries, err)
	}
	const slow = 150 * time.Millisecond
	d.Set(DiskFault{Fsync: slow})
	start := time.Now()
	if err := syncFile(d.Dir); err != nil || time.Since(start) < slow {
		t.Errorf("slow: %v after %v", err, time.Since(start))
	}
	for fault, want := range map[DiskFault]error{
		{FsyncErr: unix.EIO}:    syscall.EIO,
		{FsyncErr: unix.ENOSPC}: syscall.ENOSPC,
		{WriteErr: unix.ENOSPC}: syscall.ENOSPC,
	} {
		d.Set(fault)
		if err := syncFile(d.Dir); !errors.Is(err, want) {
			t.Errorf("%+v: %v", fault, err)
		}
	}
	for _, fault := range []DiskFault{{HangFsync: true}, {Hang: true}} {
		d.Set(fault)
		done := make(chan error, 1)
		go func() { done <- syncFile(d.Dir) }()
		waitFor(t, func() bool { return d.Waiting() > 0 })
		select {
		case err := <-done:
			t.Errorf("%+v: it returned: %v", fault, err)
		case <-time.After(100 * time.Millisecond):
		}
		d.Heal()
		if err := <-done; err != nil {
			t.Errorf("%+v, healed: %v", fault, err)
		}
	}
}

// TestSlowDiskUnderEtcd shows that etcd runs on such a disk and suffers from it.
func TestSlowDiskUnderEtcd(t *testing.T) {
	t.Parallel()
	d := NeedSlowDisk(t)
	e := NeedEtcd(t, EtcdOptions{DataDir: func(int) string { return filepath.Join(d.Dir, "etcd") }})
	m := e.Members[0]
	const slow = 200 * time.Millisecond
	d.Set(DiskFault{Fsync: slow})
	before, n := walFsync(t, m)
	const puts = 3
	for range puts {
		if err := put(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	after, now := walFsync(t, m)
	if now-n < puts || after-before < puts*slow.Seconds() {
		t.Errorf("etcd counts %v s in %v fsyncs of its log", after-before, now-n)
	}
	// The end of the test frees what hangs, so that etcd can be stopped.
	d.Set(DiskFault{HangFsync: true})
	go func() { _ = put(t.Context(), m) }()
	waitFor(t, func() bool { return d.Waiting() > 0 })
}

func put(ctx context.Context, m *EtcdMember) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.ClientURL+"/v3/kv/put", strings.NewReader(`{"key":"eA==","value":"eA=="}`))
	if err != nil {
		return err
	}
	resp, err := plainClient().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.Join(err, errors.New(resp.Status+": "+string(body)))
	}
	return err
}

// walFsync is how long etcd says it has waited for its log, and how often.
func walFsync(t *testing.T, m *EtcdMember) (seconds float64, count uint64) {
	t.Helper()
	resp, err := plainClient().Get(m.MetricsURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	h := families["etcd_disk_wal_fsync_duration_seconds"].GetMetric()[0].GetHistogram()
	return h.GetSampleSum(), h.GetSampleCount()
}

// waitFor is patient: the machine may be busy.
func waitFor(t *testing.T, come func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !come(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came")
		}
	}
}

func TestLoopDisk(t *testing.T) {
	t.Parallel()
	d := NeedLoopDisk(t, 8<<20)
	if err := syncFile(d.Dir); err != nil {
		t.Fatalf("a disk that is well: %v", err)
	}
	full, err := d.Fill()
	if err != nil {
		t.Fatal(err)
	}
	if err := syncFile(d.Dir); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full: %v", err)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if err := syncFile(d.Dir); err != nil {
		t.Errorf("with space again: %v", err)
	}
	if err := d.Break(); err != nil {
		t.Fatal(err)
	}
	if err := syncFile(d.Dir); !errors.Is(err, syscall.EROFS) {
		t.Errorf("broken: %v", err)
	}
	d = NeedLoopDisk(t, 8<<20)
	if err := d.ReadOnly(); err != nil {
		t.Fatal(err)
	}
	if err := syncFile(d.Dir); !errors.Is(err, syscall.EROFS) {
		t.Errorf("read-only: %v", err)
	}
}
