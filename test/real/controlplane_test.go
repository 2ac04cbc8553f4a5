package real

import (
	"strings"
	"testing"
	"time"
)

func TestControlPlane(t *testing.T) {
	t.Parallel()
	c := NeedControlPlane(t, ControlPlaneOptions{Schedulers: 2})
	lease, err := c.APIServer.Lease(t.Context(), "kube-system", "kube-scheduler")
	if err != nil {
		t.Fatal(err)
	}
	first, second := c.Schedulers[0], c.Schedulers[1]
	if !strings.HasPrefix(lease.Holder, first.Hostname+"_") || time.Since(lease.Renewed) > time.Minute {
		t.Errorf("the lease is %+v, the first scheduler is on %s", lease, first.Hostname)
	}
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		lease, err := c.APIServer.Lease(t.Context(), "kube-system", "kube-scheduler")
		if err == nil && strings.HasPrefix(lease.Holder, second.Hostname+"_") && lease.Transitions == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the second scheduler has not taken over: %+v, %v", lease, err)
		}
	}
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Processes() {
		if !p.Running() {
			t.Errorf("%s does not run", p.command.Name)
		}
	}
	begun := time.Now()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %v", time.Since(begun))
	for _, p := range c.Processes() {
		if !gone(p.Pid()) {
			t.Errorf("%s is left", p.command.Name)
		}
	}
}
