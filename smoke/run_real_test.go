package smoke

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

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
			{"the rights of the manifest", c.rightsOfManifest},
			{"each right is missing", c.eachRightMissing},
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

func (c clusterTest) kubectl(t *testing.T, stdin string, args ...string) {
	t.Helper()
	_, err := c.Kubectl(t.Context(), stdin, args...)
	must(t, err)
}

func (c clusterTest) green(t *testing.T) {
	for turn := range uint64(2) {
		soon(t, 15*time.Second, func() Report {
			r := makeRun(t.Context(), t, c.admin, in("smoke-green"), Options{Turn: turn})
			wantsGreen(t, r)
			if len(r.Nodes) != 2 {
				t.Errorf("on %v", r.Nodes)
			}
			nothingLeft(t, c.Cluster, "smoke-green")
			return r
		})
	}
}

// twoRuns are those of two halves of a mesh that is split.
func (c clusterTest) twoRuns(t *testing.T) {
	s := in("smoke-two")
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
	s.Steps.Logs, s.Steps.Exec, s.Steps.Policy, s.Steps.Volume, s.Steps.StorageClass = true, true, true, true, "own"
	r := makeRunWith(t.Context(), t, c.admin, s, Options{}, hooks{StepExec: talkInVain, StepPolicy: calm})
	// The network of these nodes is a bridge.
	wantsButFor(t, r, map[string]string{StepPolicy: "does not enforce policies"})
	nothingLeft(t, c.Cluster, s.Namespace)

	s.Steps.StorageClass = "none"
	enforced := make(chan error, 1)
	r = makeRunWith(t.Context(), t, c.admin, s, Options{}, hooks{
		StepExec:   func(*run) { go func() { enforced <- c.enforcePolicy(t.Context(), s.Namespace) }() },
		StepPolicy: patience(10 * time.Second), StepVolume: calm,
	})
	must(t, <-enforced)
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

// enforcePolicy does what a network does that enforces policies, for the next
// one.
func (c clusterTest) enforcePolicy(ctx context.Context, namespace string) error {
	err := eventually(ctx, func() error {
		var policies struct{ Items []struct{} }
		err := c.APIServer.Get(ctx, "/apis/networking.k8s.io/v1/namespaces/"+namespace+"/networkpolicies", &policies)
		if err == nil && len(policies.Items) == 0 {
			err = errors.New("there is no policy")
		}
		return err
	})
	if err != nil {
		return err
	}
	var guarded corev1.PodList
	if err := c.APIServer.Get(ctx, "/api/v1/namespaces/"+namespace+"/pods?labelSelector="+guardedLabel, &guarded); err != nil || len(guarded.Items) != 1 {
		return fmt.Errorf("%d pods are guarded, %w", len(guarded.Items), err)
	}
	p := guarded.Items[0]
	n := c.Nodes[slices.IndexFunc(c.Nodes, func(n *real.Node) bool { return n.Name == p.Spec.NodeName })]
	rules := "add table ip smoke; add chain ip smoke guard { type filter hook forward priority 0; }; add rule ip smoke guard ip daddr " + p.Status.PodIP + " drop"
	if out, err := n.Run(ctx, "nft", rules); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// interrupted is a run that somebody ends with Ctrl-C: it clears up, too.
func (c clusterTest) interrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := in("smoke-interrupted")
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
