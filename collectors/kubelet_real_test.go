package collectors

import (
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// kubeletOf is the check as it runs on a node of the cluster.
func kubeletOf(t *testing.T, cluster *real.Cluster, n *real.Node) Collector {
	t.Helper()
	s := defaultKubeletSettings()
	s.HealthURL, s.NodeName, s.NodeInterval = n.HealthURL, n.Name, time.Second
	// An administrator may see the sync loop, the node itself may not.
	s.Kubeconfig, s.ServingAddress = cluster.APIServer.Kubeconfig, n.IP+":10250"
	s.Thresholds.Certificate = ExpiryLimits{Warning: 2 * time.Hour, Critical: time.Hour} // theirs live for a day
	s.Thresholds.LeaseAge = DurationLimits{Warning: 14 * time.Second, Critical: 20 * time.Second}
	return newCheck(t, s)
}

// The kubelet of one node through its troubles.
func TestKubelet(t *testing.T) {
	t.Parallel()
	cluster := real.NeedCluster(t, real.ClusterOptions{Nodes: 1})
	node := cluster.Nodes[0]
	check := kubeletOf(t, cluster, node)
	look := func() seen { return run(t, check, 4*time.Second) }
	kubectl := func(args ...string) {
		t.Helper()
		if _, err := cluster.Kubectl(t.Context(), "", args...); err != nil {
			t.Fatal(err)
		}
	}
	is := func(s seen, subject string, status health.Status) bool { return s.results[subject].Status == status }

	s := look()
	for _, subject := range []string{"healthz", "lease", "node"} {
		s.expect(t, subject, health.OK)
	}
	if s.value(t, &kubeletUp) != 1 || s.value(t, &kubeletCheckUp, "syncloop") != 1 || s.value(t, &kubeletCondition, "Ready") != 1 || s.value(t, &kubeletCondition, "DiskPressure") != 0 {
		t.Errorf("a well kubelet: %v", s.samples)
	}
	if expiry := time.Unix(int64(s.value(t, &kubeletCertificate)), 0); time.Until(expiry) < time.Hour {
		t.Errorf("its certificate expires at %v", expiry)
	}

	kubectl("cordon", node.Name)
	until(t, "the cordon is seen", func() bool {
		s = look()
		return s.value(t, &kubeletUnschedulable) == 1 && s.value(t, &kubeletTaints, "NoSchedule") == 1
	})
	if len(s.maintenance) != 1 || s.maintenance[0] != Cordoned {
		t.Errorf("cordoned: %v, %v", s.maintenance, s.samples)
	}
	kubectl("uncordon", node.Name)

	// A kubelet that hangs answers nothing, and its lease grows old before
	// the cluster takes notice.
	must(t, node.Kubelet.Pause())
	until(t, "the lease is old", func() bool { s = look(); return is(s, "lease", health.Critical) })
	s.expect(t, "lease", health.Critical, node.Name, "renewed", "ago")
	s.expect(t, "healthz", health.Critical, "does not answer", "no answer within")
	if s.value(t, &kubeletUp) != 0 || s.value(t, &kubeletLeaseAge) < 20 {
		t.Errorf("a hung kubelet: %v", s.samples)
	}
	must(t, node.Kubelet.Resume())
	until(t, "it is well again", func() bool {
		s = look()
		return is(s, "lease", health.OK) && is(s, "healthz", health.OK) && is(s, "node", health.OK)
	})

	// Without its container runtime it says so itself: PLEG and the runtime
	// are in the condition Ready.
	must(t, node.Containerd.Kill())
	until(t, "the node is not ready", func() bool { s = look(); return is(s, "node", health.Critical) })
	s.expect(t, "node", health.Critical, "not ready since", "KubeletNotReady")

	// What cannot be asked is not known, and not forgotten.
	must(t, cluster.APIServer.Kill())
	s = look()
	s.expect(t, "lease", health.Unknown, "API server does not answer")
	s.expect(t, "node", health.Unknown, "API server does not answer")
	if s.value(t, &kubeletCondition, "Ready") != 0 || s.value(t, &kubeletAPISuccess, "node") != 0 {
		t.Errorf("without the API: %v", s.samples)
	}
}

// Each of many nodes is looked at by its own check, and one that was deleted
// is told from one that is unwell.
func TestKubeletOfHollowNodes(t *testing.T) {
	t.Parallel()
	plane := real.NeedControlPlane(t, real.ControlPlaneOptions{})
	nodes := real.NeedHollowNodes(t, real.HollowNodesOptions{ControlPlane: plane, Count: 2})
	for _, n := range nodes {
		s := defaultKubeletSettings()
		s.HealthURL, s.Kubeconfig, s.ServingAddress, s.NodeInterval = n.URL, n.Kubeconfig, "127.0.0.1:1", time.Second
		check := newCheck(t, s)
		if name := check.(*kubeletCheck).nodeName; name != n.Name {
			t.Errorf("the node is called %q, not %q as in its credentials", name, n.Name)
		}
		var last seen
		until(t, n.Name+" is well", func() bool {
			last = run(t, check, 4*time.Second)
			return last.results["lease"].Status == health.OK && last.results["node"].Status == health.OK && last.results["healthz"].Status == health.OK
		})
		if last.has(&kubeletCertificate) {
			t.Error("a certificate, though it shows none")
		}
	}
	s := defaultKubeletSettings()
	s.HealthURL, s.Kubeconfig, s.NodeName, s.ServingAddress = nodes[0].URL, plane.APIServer.Kubeconfig, "nobody", "127.0.0.1:1"
	got := run(t, newCheck(t, s), 4*time.Second)
	got.expect(t, "node", health.Critical, `"nobody" is not registered`)
	got.expect(t, "lease", health.Critical, `"nobody" is not registered`)
}
