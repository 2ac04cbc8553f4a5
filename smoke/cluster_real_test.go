package smoke

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

var built struct {
	sync.Once
	tar string
	err error
}

// imageTar is a file with the image of the binary as it is in the tree now.
func imageTar(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		var dir string
		if dir, built.err = os.MkdirTemp("", "grapevine-smoke-"); built.err == nil {
			built.tar = filepath.Join(dir, "image.tar")
			built.err = buildImage(dir, built.tar)
		}
	})
	must(t, built.err)
	return built.tar
}

func buildImage(dir, tar string) error {
	binary := filepath.Join(dir, "grapevine")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "../cmd/grapevine")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	i, err := collectors.OpenBinaryImage(binary)
	if err != nil {
		return err
	}
	defer i.Close()
	i.Name, i.Command = DefaultImage, "smoke-pod"
	f, err := os.Create(tar)
	if err != nil {
		return err
	}
	if err := i.Write(f); err != nil {
		return err
	}
	return f.Close()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.tar != "" {
		_ = os.RemoveAll(filepath.Dir(built.tar))
	}
	os.Exit(code)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// needCluster starts a cluster that has the image on every node.
func needCluster(t *testing.T, o real.ClusterOptions) *real.Cluster {
	t.Helper()
	tar := imageTar(t)
	o.DNS = true
	cluster := real.NeedCluster(t, o)
	for _, n := range cluster.Nodes {
		must(t, n.Containerd.Import(t.Context(), real.Image{Tar: tar}))
	}
	return cluster
}

func needClient(t *testing.T, kubeconfig string) *Client {
	t.Helper()
	c, err := Open(kubeconfig, collectors.Env{Paths: collectors.DefaultPaths(), Logger: log.NewNopLogger()})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// makeRun makes a run and logs it.
func makeRun(t *testing.T, ctx context.Context, c *Client, s Settings, o Options) Report {
	t.Helper()
	must(t, s.Validate())
	o.Told = func(step Step) { t.Logf("%-8s %-8s %5.2fs %s", step.Status, step.Name, step.Seconds, step.Reason) }
	report := Run(ctx, c, s, o)
	t.Logf("%s: %s; nodes %v, skipped %v, notes %v, swept %v, leftovers %v, %.1f s", report.Status, report.Reason,
		report.Nodes, report.Skipped, report.Notes, report.Swept, report.Leftovers, report.Seconds)
	return report
}

// wants holds the steps against what is wanted: all before step are well, step
// has the status and the words in its reason, and what comes after it is not
// reached. Only delete is well again.
func wants(t *testing.T, r Report, step string, status health.Status, words ...string) {
	t.Helper()
	at := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Name == step })
	for i, s := range r.Steps {
		switch {
		case i == at:
			if s.Status != status {
				t.Errorf("%s is %s, want %s: %s", s.Name, s.Status, status, s.Reason)
			}
			for _, word := range words {
				if !strings.Contains(s.Reason, word) {
					t.Errorf("%s does not name %q: %s", s.Name, word, s.Reason)
				}
			}
		case i < at && s.Status != health.OK:
			t.Errorf("%s is %s: %s", s.Name, s.Status, s.Reason)
		case i > at && s.Name != StepDelete && (s.Status != health.Unknown || s.Reason != notReached):
			t.Errorf("%s is %s: %s", s.Name, s.Status, s.Reason)
		}
	}
	if r.Status != status || !strings.HasPrefix(r.Reason, step+": ") {
		t.Errorf("the run is %s: %s", r.Status, r.Reason)
	}
}

func wantsGreen(t *testing.T, r Report) {
	t.Helper()
	for _, s := range r.Steps {
		if s.Status != health.OK {
			t.Errorf("%s is %s: %s", s.Name, s.Status, s.Reason)
		}
	}
	if r.Status != health.OK {
		t.Errorf("the run is %s: %s", r.Status, r.Reason)
	}
}

// nothingLeft looks with an administrator's eyes.
func nothingLeft(t *testing.T, cluster *real.Cluster, namespace string) {
	t.Helper()
	out, err := cluster.Kubectl(t.Context(), "", "get", "pods,jobs,services,networkpolicies,persistentvolumeclaims,configmaps,secrets", "-n", namespace, "-o", "name")
	must(t, err)
	for line := range strings.FieldsSeq(out) {
		if line != "configmap/kube-root-ca.crt" {
			t.Errorf("left behind: %s", line)
		}
	}
}

func TestRunsOnARealCluster(t *testing.T) {
	t.Parallel()
	cluster := needCluster(t, real.ClusterOptions{Nodes: 2})
	c := needClient(t, cluster.APIServer.Kubeconfig)

	t.Run("green", func(t *testing.T) {
		began := time.Now()
		r := makeRun(t, t.Context(), c, Default(), Options{})
		wantsGreen(t, r)
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("took %v", took)
		}
		nothingLeft(t, cluster, "grapevine-smoke")
		r = makeRun(t, t.Context(), c, Default(), Options{Turn: 1})
		wantsGreen(t, r)
		nothingLeft(t, cluster, "grapevine-smoke")
	})
	t.Run("two at once", func(t *testing.T) {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { wantsGreen(t, makeRun(t, t.Context(), c, Default(), Options{})) })
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
		r := makeRun(t, t.Context(), c, s, Options{})
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
		r = makeRun(t, t.Context(), c, s, Options{})
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

// A user who may do nothing, or not all, is told what is missing.
func TestBadInputOnARealCluster(t *testing.T) {
	t.Parallel()
	cluster := needCluster(t, real.ClusterOptions{Nodes: 2})
	admin := needClient(t, cluster.APIServer.Kubeconfig)
	apply := func(t *testing.T, manifest string) {
		t.Helper()
		_, err := cluster.Kubectl(t.Context(), manifest, "apply", "-f", "-")
		must(t, err)
	}
	kubectl := func(t *testing.T, args ...string) {
		t.Helper()
		_, err := cluster.Kubectl(t.Context(), "", args...)
		must(t, err)
	}
	in := func(namespace string) Settings {
		s := Default()
		s.Namespace, s.Patience = namespace, 8*time.Second
		return s
	}

	t.Run("no rights", func(t *testing.T) {
		kubeconfig, err := cluster.APIServer.KubeconfigFor("nobody")
		must(t, err)
		r := makeRun(t, t.Context(), needClient(t, kubeconfig), in("smoke-rights"), Options{})
		wants(t, r, StepAdmit, health.Unknown, "list nodes;", "create, list, delete jobs in the namespace smoke-rights", "create, list, watch, delete pods")
		if r.Seconds > 5 {
			t.Errorf("took %.1f s", r.Seconds)
		}
	})
	t.Run("one right is missing", func(t *testing.T) {
		apply(t, `apiVersion: v1
kind: Namespace
metadata: {name: smoke-rights}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: smoke}
rules: [{apiGroups: [""], resources: [nodes], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: smoke}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: smoke}
subjects: [{kind: User, name: limited}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: smoke, namespace: smoke-rights}
rules:
- {apiGroups: [""], resources: [pods], verbs: [create, list, watch, delete]}
- {apiGroups: [""], resources: [services], verbs: [list, delete]}
- {apiGroups: [batch], resources: [jobs], verbs: [create, list, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: smoke, namespace: smoke-rights}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: smoke}
subjects: [{kind: User, name: limited}]
`)
		kubeconfig, err := cluster.APIServer.KubeconfigFor("limited")
		must(t, err)
		limited := needClient(t, kubeconfig)
		r := makeRun(t, t.Context(), limited, in("smoke-rights"), Options{})
		if r.Status != health.Unknown || !strings.Contains(r.Reason, "does not allow this user to create services in the namespace smoke-rights") {
			t.Errorf("%s: %s", r.Status, r.Reason)
		}
		nothingLeft(t, cluster, "smoke-rights")
		kubectl(t, "patch", "role", "smoke", "-n", "smoke-rights", "--type=json", `-p=[{"op": "add", "path": "/rules/1/verbs/-", "value": "create"}]`)
		r = makeRun(t, t.Context(), limited, in("smoke-rights"), Options{})
		wantsGreen(t, r)
		nothingLeft(t, cluster, "smoke-rights")
	})
	t.Run("the namespace is being removed", func(t *testing.T) {
		apply(t, `apiVersion: v1
kind: Namespace
metadata: {name: smoke-going}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: holds, namespace: smoke-going, finalizers: [example.org/hold]}
`)
		kubectl(t, "delete", "namespace", "smoke-going", "--wait=false")
		r := makeRun(t, t.Context(), admin, in("smoke-going"), Options{})
		wants(t, r, StepAdmit, health.Unknown, "the namespace smoke-going is being removed, since ")
		kubectl(t, "patch", "configmap", "holds", "-n", "smoke-going", "--type=merge", `-p={"metadata": {"finalizers": []}}`)
	})
	t.Run("the quota is used up", func(t *testing.T) {
		apply(t, `apiVersion: v1
kind: Namespace
metadata: {name: smoke-quota}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: tight, namespace: smoke-quota}
spec: {hard: {pods: "1"}}
`)
		r := makeRun(t, t.Context(), admin, in("smoke-quota"), Options{})
		wants(t, r, StepAdmit, health.Unknown, "smoke-quota", "exceeded quota: tight", "pods=1")
		nothingLeft(t, cluster, "smoke-quota")
	})
	t.Run("a webhook that is down", func(t *testing.T) {
		apply(t, `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: broken}
webhooks:
- name: broken.example.org
  clientConfig: {url: "https://127.0.0.1:1/"}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  sideEffects: None
  admissionReviewVersions: [v1]
  failurePolicy: Fail
`)
		defer kubectl(t, "delete", "validatingwebhookconfiguration", "broken")
		var r Report
		for range 20 { // the API server needs a moment to learn of it
			if r = makeRun(t, t.Context(), admin, in("smoke-webhook"), Options{}); r.Status != health.OK {
				break
			}
		}
		wants(t, r, StepAdmit, health.Critical, "cannot create pods", "broken.example.org", "connection refused")
		nothingLeft(t, cluster, "smoke-webhook")
	})
	t.Run("the image is absent", func(t *testing.T) {
		s := in("smoke-image")
		s.Image = "registry.invalid/grapevine:none"
		r := makeRun(t, t.Context(), admin, s, Options{})
		wants(t, r, StepRuntime, health.Critical, "node-", "registry.invalid/grapevine:none", "grapevine smoke-image | ctr")
		nothingLeft(t, cluster, "smoke-image")
		s.Image, s.PullPolicy = "grapevine:none", "Never"
		wants(t, makeRun(t, t.Context(), admin, s, Options{}), StepRuntime, health.Critical, "ErrImageNeverPull")
	})
	t.Run("a cordoned node and a tainted one", func(t *testing.T) {
		kubectl(t, "cordon", "node-0")
		r := makeRun(t, t.Context(), admin, in("smoke-nodes"), Options{})
		wantsGreen(t, r)
		if !slices.Equal(r.Skipped, []Skipped{{"node-0", "cordoned"}}) || !slices.Equal(r.Nodes, []string{"node-1"}) || len(r.Notes) != 1 {
			t.Errorf("skipped %v, notes %v", r.Skipped, r.Notes)
		}
		kubectl(t, "taint", "node", "node-1", "own=yes:NoExecute")
		r = makeRun(t, t.Context(), admin, in("smoke-nodes"), Options{})
		wants(t, r, StepAdmit, health.Unknown, "no node can be used, of 2", "node-0 is cordoned", "node-1 is tainted own=yes:NoExecute")
		kubectl(t, "uncordon", "node-0")
		kubectl(t, "taint", "node", "node-1", "own-")
		r = makeRun(t, t.Context(), admin, in("smoke-nodes"), Options{Nodes: []string{"node-1"}})
		wantsGreen(t, r)
		wants(t, makeRun(t, t.Context(), admin, in("smoke-nodes"), Options{Nodes: []string{"node-7"}}), StepAdmit, health.Unknown, "there is no node node-7")
		nothingLeft(t, cluster, "smoke-nodes")
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := in("smoke-interrupted")
		time.AfterFunc(2*time.Second, cancel)
		r := makeRun(t, ctx, admin, s, Options{})
		if r.Status != health.Unknown {
			t.Errorf("%s: %s", r.Status, r.Reason)
		}
		if d, _ := r.Step(StepDelete); d.Status != health.OK {
			t.Errorf("%s: %s", d.Status, d.Reason)
		}
		nothingLeft(t, cluster, "smoke-interrupted")
	})
	t.Run("nobody to ask", func(t *testing.T) {
		must(t, cluster.APIServer.Pause())
		r := makeRun(t, t.Context(), admin, in("smoke-none"), Options{})
		must(t, cluster.APIServer.Resume())
		wants(t, r, StepAdmit, health.Unknown, "does not answer: no answer in time")
		if r.Seconds > 8 {
			t.Errorf("took %.1f s", r.Seconds)
		}
		must(t, cluster.APIServer.Kill())
		r = makeRun(t, t.Context(), admin, in("smoke-none"), Options{})
		wants(t, r, StepAdmit, health.Unknown, "does not answer: connection refused")
		if r.Seconds > 5 {
			t.Errorf("took %.1f s", r.Seconds)
		}
	})
}
