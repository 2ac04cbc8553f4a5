package smoke

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

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
		r := makeRun(t.Context(), t, needClient(t, kubeconfig), in("smoke-rights"), Options{})
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
		r := makeRun(t.Context(), t, limited, in("smoke-rights"), Options{})
		if r.Status != health.Unknown || !strings.Contains(r.Reason, "does not allow this user to create services in the namespace smoke-rights") {
			t.Errorf("%s: %s", r.Status, r.Reason)
		}
		nothingLeft(t, cluster, "smoke-rights")
		kubectl(t, "patch", "role", "smoke", "-n", "smoke-rights", "--type=json", `-p=[{"op": "add", "path": "/rules/1/verbs/-", "value": "create"}]`)
		r = makeRun(t.Context(), t, limited, in("smoke-rights"), Options{})
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
		r := makeRun(t.Context(), t, admin, in("smoke-going"), Options{})
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
		r := makeRun(t.Context(), t, admin, in("smoke-quota"), Options{})
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
			if r = makeRun(t.Context(), t, admin, in("smoke-webhook"), Options{}); r.Status != health.OK {
				break
			}
		}
		wants(t, r, StepAdmit, health.Critical, "cannot create pods", "broken.example.org", "connection refused")
		nothingLeft(t, cluster, "smoke-webhook")
	})
	t.Run("the image is absent", func(t *testing.T) {
		s := in("smoke-image")
		s.Image = "registry.invalid/grapevine:none"
		r := makeRun(t.Context(), t, admin, s, Options{})
		wants(t, r, StepRuntime, health.Critical, "node-", "registry.invalid/grapevine:none", "grapevine smoke-image | ctr")
		nothingLeft(t, cluster, "smoke-image")
		s.Image, s.PullPolicy = "grapevine:none", "Never"
		wants(t, makeRun(t.Context(), t, admin, s, Options{}), StepRuntime, health.Critical, "ErrImageNeverPull")
	})
	t.Run("a cordoned node and a tainted one", func(t *testing.T) {
		kubectl(t, "cordon", "node-0")
		r := makeRun(t.Context(), t, admin, in("smoke-nodes"), Options{})
		wantsGreen(t, r)
		if !slices.Equal(r.Skipped, []Skipped{{"node-0", "cordoned"}}) || !slices.Equal(r.Nodes, []string{"node-1"}) || len(r.Notes) != 1 {
			t.Errorf("skipped %v, notes %v", r.Skipped, r.Notes)
		}
		kubectl(t, "taint", "node", "node-1", "own=yes:NoExecute")
		r = makeRun(t.Context(), t, admin, in("smoke-nodes"), Options{})
		wants(t, r, StepAdmit, health.Unknown, "no node can be used, of 2", "node-0 is cordoned", "node-1 is tainted own=yes:NoExecute")
		kubectl(t, "uncordon", "node-0")
		kubectl(t, "taint", "node", "node-1", "own-")
		r = makeRun(t.Context(), t, admin, in("smoke-nodes"), Options{Nodes: []string{"node-1"}})
		wantsGreen(t, r)
		wants(t, makeRun(t.Context(), t, admin, in("smoke-nodes"), Options{Nodes: []string{"node-7"}}), StepAdmit, health.Unknown, "there is no node node-7")
		nothingLeft(t, cluster, "smoke-nodes")
	})
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := in("smoke-interrupted")
		time.AfterFunc(2*time.Second, cancel)
		r := makeRun(ctx, t, admin, s, Options{})
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
		r := makeRun(t.Context(), t, admin, in("smoke-none"), Options{})
		must(t, cluster.APIServer.Resume())
		wants(t, r, StepAdmit, health.Unknown, "does not answer: no answer in time")
		if r.Seconds > 8 {
			t.Errorf("took %.1f s", r.Seconds)
		}
		must(t, cluster.APIServer.Kill())
		r = makeRun(t.Context(), t, admin, in("smoke-none"), Options{})
		wants(t, r, StepAdmit, health.Unknown, "does not answer: connection refused")
		if r.Seconds > 5 {
			t.Errorf("took %.1f s", r.Seconds)
		}
	})
}
