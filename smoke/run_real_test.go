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

// Runs on two nodes prove what they should, and leave nothing.
func TestRunsOnARealCluster(t *testing.T) {
	t.Parallel()
	cluster := needCluster(t, real.ClusterOptions{Nodes: 2})
	c := needClient(t, cluster.APIServer.Kubeconfig)

	t.Run("green", func(t *testing.T) {
		r := makeRun(t.Context(), t, c, Default(), Options{})
		wantsGreen(t, r)
		if r.Seconds > 15 {
			t.Errorf("took %.1f s", r.Seconds)
		}
		nothingLeft(t, cluster, "grapevine-smoke")
		r = makeRun(t.Context(), t, c, Default(), Options{Turn: 1})
		wantsGreen(t, r)
		nothingLeft(t, cluster, "grapevine-smoke")
	})
	t.Run("two at once", func(t *testing.T) {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { wantsGreen(t, makeRun(t.Context(), t, c, Default(), Options{})) })
		}
		both.Wait()
		nothingLeft(t, cluster, "grapevine-smoke")
	})
	t.Run("all steps", func(t *testing.T) {
		folder := t.TempDir()
		must(t, os.Chmod(folder, 0o777))
		_, err := cluster.Kubectl(t.Context(), fmt.Sprintf(`apiVersion: v1
kind: PersistentVolume
metadata: {name: smoke}
spec: {storageClassName: own, capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: %q}}
`, folder), "apply", "-f", "-")
		must(t, err)
		s := Default()
		s.Steps.Logs, s.Steps.Exec, s.Steps.Policy, s.Steps.Volume, s.Steps.StorageClass = true, true, true, true, "own"
		r := makeRun(t.Context(), t, c, s, Options{})
		// The network of these nodes is a bridge.
		for _, step := range r.Steps {
			switch {
			case step.Name == StepPolicy:
				if step.Status != health.Critical || !strings.Contains(step.Reason, "does not enforce policies") {
					t.Errorf("%s is %s: %s", step.Name, step.Status, step.Reason)
				}
			case step.Status != health.OK:
				t.Errorf("%s is %s: %s", step.Name, step.Status, step.Reason)
			}
		}
		nothingLeft(t, cluster, "grapevine-smoke")

		s.Steps.StorageClass = "none"
		enforced := make(chan struct{})
		go func() {
			defer close(enforced)
			enforcePolicy(t, cluster, "grapevine-smoke")
		}()
		r = makeRun(t.Context(), t, c, s, Options{})
		<-enforced
		if step, _ := r.Step(StepPolicy); step.Status != health.OK {
			t.Errorf("%s is %s: %s", step.Name, step.Status, step.Reason)
		}
		if step, _ := r.Step(StepVolume); step.Status != health.Critical || !strings.Contains(step.Reason, "of the storage class none has got no volume") {
			t.Errorf("%s is %s: %s", step.Name, step.Status, step.Reason)
		}
		nothingLeft(t, cluster, "grapevine-smoke")
	})
}

// enforcePolicy does what a network does that enforces policies, for one.
func enforcePolicy(t *testing.T, cluster *real.Cluster, namespace string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
		if out, err := cluster.Kubectl(ctx, "", "get", "networkpolicies", "-n", namespace, "-o", "name"); err != nil || out == "" {
			continue
		}
		out, err := cluster.Kubectl(ctx, "", "get", "pods", "-n", namespace, "-l", guardedLabel, "-o", "jsonpath={.items[0].spec.nodeName} {.items[0].status.podIP}")
		words := strings.Fields(out)
		if err != nil || len(words) != 2 {
			t.Errorf("looking for the guarded pod: %q, %v", out, err)
			return
		}
		for _, n := range cluster.Nodes {
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
