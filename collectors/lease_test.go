package collectors

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// patience is the time of a run that is to succeed on a busy machine.
const patience = 10 * time.Second

// leaseServer answers with the lease that it is told.
func leaseServer(t *testing.T) (settings *electedSettings, answer *atomic.Value) {
	t.Helper()
	answer = &atomic.Value{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, answer.Load())
	}))
	t.Cleanup(server.Close)
	s := defaultElectedSettings(scheduler)
	s.Endpoints = []string{"https://" + hostPort(1)} // nobody is there
	s.Kubeconfig = writeKubeconfig(t, filepath.Join(t.TempDir(), "config"), server.URL)
	s.Thresholds.LeaseAge = Limits{Warning: 0.01, Critical: 0.06} // 0.15 s, 0.9 s
	return s, answer
}

func leaseJSON(holder string, seconds int, renewed time.Time) string {
	return fmt.Sprintf(`{"kind":"Lease","spec":{"holderIdentity":%q,"leaseDurationSeconds":%d,"renewTime":%q,"leaseTransitions":3}}`,
		holder, seconds, renewed.UTC().Format("2006-01-02T15:04:05.000000Z"))
}

// A holder whose clock is wrong is well as long as it renews; one that gives
// the lease back leaves nobody who leads.
func TestLease(t *testing.T) {
	t.Parallel()
	s, answer := leaseServer(t)
	check := newCheck(t, s)
	m := &scheduler.metrics
	look := func() seen { t.Helper(); return run(t, check, patience) }

	// At first sight the lease seems an hour old. While it is looked at once
	// more, it is renewed.
	clock := time.Now().Add(-time.Hour)
	answer.Store(leaseJSON("cp-1_x", 15, clock))
	go func() {
		time.Sleep(time.Second)
		answer.Store(leaseJSON("cp-1_x", 15, clock.Add(time.Second)))
	}()
	got := look()
	got.expect(t, leaseSubject, health.OK)
	if age := got.value(t, &m.leaseAge); age > 1 {
		t.Errorf("age %v", age)
	}
	until(t, "it is critical", func() bool { return look().results[leaseSubject].Status == health.Critical })
	look().expect(t, leaseSubject, health.Critical, "has not been renewed by cp-1 for")

	answer.Store(leaseJSON("", 1, clock.Add(2*time.Second)))
	got = look()
	got.expect(t, leaseSubject, health.OK)
	if got.has(&m.leaseHolder) || got.value(t, &m.isLeader) != 0 || got.value(t, &m.leaseTransitions) != 3 {
		t.Errorf("%v", got.samples)
	}
	until(t, "it is critical", func() bool { return look().results[leaseSubject].Status == health.Critical })
	look().expect(t, leaseSubject, health.Critical, "is held by nobody for", "nobody leads")

	for body, want := range map[string]string{
		`<html>It works!</html>`:                      "does not answer /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler as an API server does",
		`{"kind":"Lease","spec":{"renewTime":"now"}}`: "as an API server does",
		`{"spec":{}}`: "as an API server does",
	} {
		answer.Store(body)
		got = look()
		got.expect(t, leaseSubject, health.Unknown, "cannot be read: the API server", want)
		if got.value(t, &m.leaseSuccess) != 0 || got.has(&m.leaseAge) {
			t.Error("it was read")
		}
	}
	answer.Store(`{"kind":"Lease","spec":{}}`)
	look().expect(t, leaseSubject, health.OK) // as of now: it was not read for a while
}

// A lease that nobody has renewed for an hour, by both clocks, is seen at once
// by who looks only once.
func TestLeaseAtFirstSight(t *testing.T) {
	t.Parallel()
	s, answer := leaseServer(t)
	answer.Store(leaseJSON("cp-1_x", 15, time.Now().Add(-time.Hour)))
	run(t, newCheck(t, s), patience).expect(t, leaseSubject, health.Critical, "nobody leads; cp-1 has not renewed it for 1h0m")
}
