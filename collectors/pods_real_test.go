package collectors

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// podManifest is a pod in a namespace, of the image that is on every node.
func podManifest(namespace, name, more, container string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s%s}
spec:
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers:
  - {name: main, imagePullPolicy: Never, %s}
---
`, name, namespace, more, container)
}

// A DNS server that crashes on a node is named, with what it ended by.
func TestPods(t *testing.T) {
	t.Parallel()
	cluster := real.NeedCluster(t, real.ClusterOptions{Nodes: 1})
	node := cluster.Nodes[0]
	s := defaultPodsSettings()
	s.Kubeconfig, s.NodeName = node.Kubeconfig, node.Name
	s.Thresholds.NotReady = DurationLimits{Warning: 2 * time.Second, Critical: 4 * time.Second}
	check := newCheck(t, s)
	var got seen
	look := func(subject string, status health.Status) func() bool {
		return func() bool {
			got = run(t, check, 4*time.Second)
			r, ok := got.results[subject]
			return ok && r.Status == status
		}
	}
	until(t, "an empty node is well", look(podSummary, health.OK))

	image := `image: "` + real.PauseImage + `"`
	manifest := podManifest("kube-system", "proxy", "", image) +
		podManifest("kube-system", "coredns", "", image+`, args: ["exit", "7"]`) +
		podManifest("kube-system", "network", "", `image: "example.org/none:1"`) +
		podManifest("kube-system", "slow", "", image+`, readinessProbe: {tcpSocket: {port: 1}, periodSeconds: 1}`) +
		podManifest("default", "labelled", `, labels: {grapevine.io/system: ""}`, image+`, args: ["exit", "1"]`) +
		podManifest("default", "app", "", image+`, args: ["exit", "1"]`)
	if _, err := cluster.Kubectl(t.Context(), manifest, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("last seen: %v", got.results)
		}
	})
	// A container that crashes runs in between, for a moment.
	wanted := map[string][]string{
		"kube-system/coredns": {"crashes again and again: container main", "restarts", "ended with code 7 (Error)"},
		"default/labelled":    {"crashes again and again"},
		"kube-system/network": {"cannot get the image of container main"},
		"kube-system/slow":    {"is not ready for"},
		podSummary:            {"system pods on " + node.Name, "kube-system/coredns "},
	}
	until(t, "what is wrong with each is seen", func() bool {
		got = run(t, check, 4*time.Second)
		for subject, words := range wanted {
			r := got.results[subject]
			if r.Status == health.Critical && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(r.Reason, word) }) {
				delete(wanted, subject)
			}
		}
		return len(wanted) == 0
	})
	for subject := range got.results {
		if strings.HasSuffix(subject, "/app") || strings.HasSuffix(subject, "/proxy") {
			t.Errorf("a verdict on %s", subject)
		}
	}
	if got.value(t, &podsCount, "ready") != 1 || got.value(t, &podsCount, "bad") < 2 || got.value(t, &podsRestarts, "kube-system", "coredns") < 1 {
		t.Errorf("counted %v", got.samples)
	}

	if _, err := cluster.Kubectl(t.Context(), "", "delete", "pod", "-n", "kube-system", "coredns", "network", "slow"); err != nil {
		t.Fatal(err)
	}
	until(t, "those that are gone are gone", func() bool {
		return look(podSummary, health.Critical)() && len(got.results) == 2
	})

	// What was known stays for a while, and says how old it is.
	must(t, cluster.APIServer.Kill())
	until(t, "the watch is known to be down", func() bool {
		got = run(t, check, 4*time.Second)
		return got.value(t, &podsWatch) == 0
	})
	if got.results[podSummary].Status == health.Unknown {
		t.Errorf("forgotten at once: %v", got.results)
	}
	if got.value(t, &podsWatchAge) <= 0 {
		t.Error("what is known has no age")
	}
	must(t, cluster.APIServer.Start(t.Context()))
	until(t, "the watch is up again", func() bool {
		got = run(t, check, 4*time.Second)
		return got.value(t, &podsWatch) == 1
	})
}
