package smoke

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// A user who may do nothing, or not all, is told what is missing.
func (c clusterTest) noRights(t *testing.T) {
	kubeconfig, err := c.APIServer.KubeconfigFor("nobody")
	must(t, err)
	nobody := needClient(t, kubeconfig)
	soon(t, 5*time.Second, func() Report {
		r := makeRun(t.Context(), t, nobody, in("smoke-nobody"), Options{})
		wants(t, r, StepAdmit, health.Unknown, "list nodes;", "create, list, delete jobs in the namespace smoke-nobody", "create, list, watch, delete pods")
		return r
	})
}

func (c clusterTest) oneRightMissing(t *testing.T) {
	c.kubectl(t, `apiVersion: v1
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
`, "apply", "-f", "-")
	kubeconfig, err := c.APIServer.KubeconfigFor("limited")
	must(t, err)
	limited, s := needClient(t, kubeconfig), in("smoke-rights")
	r := makeRun(t.Context(), t, limited, s, Options{})
	if r.Status != health.Unknown || !strings.Contains(r.Reason, "does not allow this user to create services in the namespace smoke-rights") {
		t.Errorf("%s: %s", r.Status, r.Reason)
	}
	nothingLeft(t, c.Cluster, s.Namespace)
	c.kubectl(t, "", "patch", "role", "smoke", "-n", s.Namespace, "--type=json", `-p=[{"op": "add", "path": "/rules/1/verbs/-", "value": "create"}]`)
	wantsGreen(t, makeRun(t.Context(), t, limited, s, Options{}))
	s.Steps.Exec = true
	r = makeRun(t.Context(), t, limited, s, Options{})
	if step, _ := r.Step(StepExec); step.Status != health.Unknown || !strings.Contains(step.Reason, "to get, create pods/exec in the namespace smoke-rights") {
		t.Errorf("%s: %s", step.Status, step.Reason)
	}
	nothingLeft(t, c.Cluster, s.Namespace)
}

func (c clusterTest) namespaceGoing(t *testing.T) {
	c.kubectl(t, `apiVersion: v1
kind: Namespace
metadata: {name: smoke-going}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: holds, namespace: smoke-going, finalizers: [example.org/hold]}
`, "apply", "-f", "-")
	c.kubectl(t, "", "delete", "namespace", "smoke-going", "--wait=false")
	r := makeRun(t.Context(), t, c.admin, in("smoke-going"), Options{})
	wants(t, r, StepAdmit, health.Unknown, "the namespace smoke-going is being removed, since ")
	c.kubectl(t, "", "patch", "configmap", "holds", "-n", "smoke-going", "--type=merge", `-p={"metadata": {"finalizers": []}}`)
}

func (c clusterTest) quotaUsedUp(t *testing.T) {
	c.kubectl(t, `apiVersion: v1
kind: Namespace
metadata: {name: smoke-quota}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: tight, namespace: smoke-quota}
spec: {hard: {pods: "1"}}
`, "apply", "-f", "-")
	r := makeRun(t.Context(), t, c.admin, in("smoke-quota"), Options{})
	wants(t, r, StepAdmit, health.Unknown, "smoke-quota", "exceeded quota: tight", "pods=1")
	nothingLeft(t, c.Cluster, "smoke-quota")
}

func (c clusterTest) webhookDown(t *testing.T) {
	c.kubectl(t, `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: broken}
webhooks:
- name: broken.example.org
  clientConfig: {url: "https://127.0.0.1:1/"}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: smoke-webhook}}
  sideEffects: None
  admissionReviewVersions: [v1]
  failurePolicy: Fail
`, "apply", "-f", "-")
	var r Report
	for range 20 { // the API server needs a moment to learn of it
		r = makeRun(t.Context(), t, c.admin, in("smoke-webhook"), Options{})
		if s, _ := r.Step(StepSchedule); s.Status != health.OK {
			break
		}
	}
	wants(t, r, StepAdmit, health.Critical, "cannot create pods", "broken.example.org", "connection refused")
	nothingLeft(t, c.Cluster, "smoke-webhook")
}

func (c clusterTest) imageAbsent(t *testing.T) {
	s := in("smoke-image")
	s.Image = "127.0.0.1:1/grapevine:none" // no registry listens there
	r := makeRun(t.Context(), t, c.admin, s, Options{})
	wants(t, r, StepRuntime, health.Critical, "on node-", "there is no image 127.0.0.1:1/grapevine:none", "connection refused", "grapevine smoke-image | ctr")
	nothingLeft(t, c.Cluster, s.Namespace)
	s.Image, s.PullPolicy = "grapevine:none", "Never"
	r = makeRun(t.Context(), t, c.admin, s, Options{})
	wants(t, r, StepRuntime, health.Critical, "there is no image grapevine:none", "ErrImageNeverPull")
	nothingLeft(t, c.Cluster, s.Namespace)
}

func (c clusterTest) unusableNodes(t *testing.T) {
	s := in("smoke-nodes")
	c.kubectl(t, `apiVersion: v1
kind: Node
metadata: {name: windows-0}
status: {nodeInfo: {operatingSystem: windows, architecture: amd64}, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Node
metadata: {name: z-0}
status: {nodeInfo: {operatingSystem: linux, architecture: s390x}, conditions: [{type: Ready, status: "True"}]}
`, "create", "-f", "-")
	c.kubectl(t, "", "cordon", "node-0")
	r := makeRun(t.Context(), t, c.admin, s, Options{})
	wantsGreen(t, r)
	skipped := []string{}
	for _, n := range r.Skipped {
		skipped = append(skipped, n.Node+" is "+n.Reason)
	}
	if want := []string{"node-0 is cordoned", "windows-0 is of the operating system windows", "z-0 is of the architecture s390x"}; !slices.EqualFunc(skipped, want, strings.HasPrefix) {
		t.Errorf("skipped %q, want %q", skipped, want)
	}
	if !slices.Equal(r.Nodes, []string{"node-1"}) || !slices.Equal(r.Notes, []string{"node-1 is the only node that can be used, of 4: the way between nodes is not proven"}) {
		t.Errorf("nodes %v, notes %q", r.Nodes, r.Notes)
	}
	c.kubectl(t, "", "taint", "node", "node-1", "own=yes:NoExecute")
	r = makeRun(t.Context(), t, c.admin, s, Options{})
	wants(t, r, StepAdmit, health.Unknown, "no node can be used, of 4", "node-0 is cordoned", "node-1 is tainted own=yes:NoExecute", "windows-0 is of the")
	c.kubectl(t, "", "uncordon", "node-0")
	c.kubectl(t, "", "taint", "node", "node-1", "own-")
	wants(t, makeRun(t.Context(), t, c.admin, s, Options{Nodes: []string{"node-7"}}), StepAdmit, health.Unknown, "there is no node node-7")
	nothingLeft(t, c.Cluster, s.Namespace)
}

// nobodyToAsk is told in a few seconds. It ends the API server.
func (c clusterTest) nobodyToAsk(t *testing.T) {
	must(t, c.APIServer.Pause())
	soon(t, 8*time.Second, func() Report {
		r := makeRun(t.Context(), t, c.admin, in("smoke-none"), Options{})
		wants(t, r, StepAdmit, health.Unknown, "does not answer: no answer in time")
		return r
	})
	must(t, c.APIServer.Resume())
	must(t, c.APIServer.Kill())
	soon(t, 5*time.Second, func() Report {
		r := makeRun(t.Context(), t, c.admin, in("smoke-none"), Options{})
		wants(t, r, StepAdmit, health.Unknown, "does not answer: connection refused")
		return r
	})
}
