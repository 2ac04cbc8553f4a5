package smoke

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// clusterTest is what runs on one cluster do, in which nothing is broken.
type clusterTest struct {
	*real.Cluster
	admin *Client
}

// Runs on two nodes prove what they should, leave nothing, and say what is
// wrong with what they were given.
func TestRealCluster(t *testing.T) {
	t.Parallel()
	cluster := needCluster(t, real.ClusterOptions{Nodes: 2})
	c := clusterTest{cluster, needClient(t, cluster.APIServer.Kubeconfig)}
	t.Run("green", c.green)
	t.Run("at once", func(t *testing.T) { // each in a namespace of its own
		for _, test := range []struct {
			name string
			test func(*testing.T)
		}{
			{"all steps", c.allSteps},
			{"two runs", c.twoRuns},
			{"the image is absent", c.imageAbsent},
			{"one right is missing", c.oneRightMissing},
			{"interrupted", c.interrupted},
			{"the quota is used up", c.quotaUsedUp},
			{"a webhook is down", c.webhookDown},
			{"the namespace is being removed", c.namespaceGoing},
			{"no rights", c.noRights},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.test(t)
			})
		}
	})
	t.Run("nodes that cannot be used", c.unusableNodes)
	t.Run("nobody to ask", c.nobodyToAsk)
}

// in is the settings of runs that are to fail, in a namespace of their own.
func in(namespace string) Settings {
	s := Default()
	s.Namespace, s.Patience = namespace, 6*time.Second
	return s
}

func (c clusterTest) kubectl(t *testing.T, stdin string, args ...string) {
	t.Helper()
	_, err := c.Kubectl(t.Context(), stdin, args...)
	must(t, err)
}

func (c clusterTest) green(t *testing.T) {
	for turn := range uint64(2) {
		r := makeRun(t.Context(), t, c.admin, Default(), Options{Turn: turn})
		wantsGreen(t, r)
		if r.Seconds > 15 || len(r.Nodes) != 2 {
			t.Errorf("took %.1f s on %v", r.Seconds, r.Nodes)
		}
		nothingLeft(t, c.Cluster, "grapevine-smoke")
	}
}

// twoRuns are those of two halves of a mesh that is split.
func (c clusterTest) twoRuns(t *testing.T) {
	s := Default()
	s.Namespace = "smoke-two"
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { wantsGreen(t, makeRun(t.Context(), t, c.admin, s, Options{})) })
	}
	both.Wait()
	nothingLeft(t, c.Cluster, s.Namespace)
}

func (c clusterTest) allSteps(t *testing.T) {
	folder := t.TempDir()
	must(t, os.Chmod(folder, 0o777))
	c.kubectl(t, fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: smoke}
spec: {storageClassName: own, capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: %q}}
`, folder), "apply", "-f", "-")
	s := in("smoke-all")
	s.Patience = Default().Patience // not all is to fail
	s.Steps.Logs, s.Steps.Exec, s.Steps.Policy, s.Steps.Volume, s.Steps.StorageClass = true, true, true, true, "own"
	r := makeRun(t.Context(), t, c.admin, s, Options{})
	// The network of these nodes is a bridge.
	wantsButFor(t, r, map[string]string{StepPolicy: "does not enforce policies"})
	nothingLeft(t, c.Cluster, s.Namespace)

	s.Steps.StorageClass = "none"
	var enforcing sync.WaitGroup
	enforcing.Go(func() { c.enforcePolicy(t, s.Namespace) })
	r = makeRun(t.Context(), t, c.admin, s, Options{})
	enforcing.Wait()
	wantsButFor(t, r, map[string]string{StepVolume: "of the storage class none has got no volume"})
	nothingLeft(t, c.Cluster, s.Namespace)
}

// wantsButFor wants all steps to be well but for those that are critical, with
// these words in their reasons.
func wantsButFor(t *testing.T, r Report, critical map[string]string) {
	t.Helper()
	for _, s := range r.Steps {
		words, want := critical[s.Name], health.OK
		if words != "" {
			want = health.Critical
		}
		if s.Status != want || !strings.Contains(s.Reason, words) {
			t.Errorf("%s is %s, want %s, %q: %s", s.Name, s.Status, want, words, s.Reason)
		}
	}
}

// enforcePolicy does what a network does that enforces policies, for one.
func (c clusterTest) enforcePolicy(t *testing.T, namespace string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
		if out, err := c.Kubectl(ctx, "", "get", "networkpolicies", "-n", namespace, "-o", "name"); err != nil || out == "" {
			continue
		}
		out, err := c.Kubectl(ctx, "", "get", "pods", "-n", namespace, "-l", guardedLabel, "-o", "jsonpath={.items[0].spec.nodeName} {.items[0].status.podIP}")
		words := strings.Fields(out)
		if err != nil || len(words) != 2 {
			t.Errorf("looking for the guarded pod: %q, %v", out, err)
			return
		}
		for _, n := range c.Nodes {
			if n.Name == words[0] {
				rules := "add table ip smoke; add chain ip smoke guard { type filter hook forward priority 0; }; add rule ip smoke guard ip daddr " + words[1] + " drop"
				if out, err := n.Run(ctx, "nft", rules); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			}
		}
		return
	}
}

// interrupted is a run that somebody ends with Ctrl-C: it clears up, too.
func (c clusterTest) interrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := Default()
	s.Namespace = "smoke-interrupted"
	o := Options{Told: func(step Step) {
		if step.Name == StepStart {
			cancel()
		}
	}}
	r := makeRun(ctx, t, c.admin, s, o)
	if r.Status != health.Unknown || !strings.HasSuffix(r.Reason, ": interrupted") {
		t.Errorf("%s: %s", r.Status, r.Reason)
	}
	if d, _ := r.Step(StepDelete); d.Status != health.OK {
		t.Errorf("%s: %s", d.Status, d.Reason)
	}
	nothingLeft(t, c.Cluster, s.Namespace)
}
