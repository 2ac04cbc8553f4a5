package smoke

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// manifest is deploy/smoke.yaml, as far as it is looked at here.
type manifest struct {
	text      string
	namespace corev1.Namespace
	quota     corev1.ResourceQuota
	role      rbacv1.Role // in the namespace of the tests
	whole     rbacv1.ClusterRole
}

// readManifest reads the file as it is, or with all rights that it has in
// comments.
func readManifest(t *testing.T, all bool) manifest {
	t.Helper()
	text, err := os.ReadFile("../deploy/smoke.yaml")
	must(t, err)
	m := manifest{text: string(text)}
	if all {
		m.text = strings.ReplaceAll(m.text, "\n  #- {", "\n  - {")
	}
	documents := yaml.NewDocumentDecoder(io.NopCloser(strings.NewReader(m.text)))
	defer func() { must(t, documents.Close()) }()
	for document := make([]byte, 1<<16); ; {
		n, err := documents.Read(document)
		if errors.Is(err, io.EOF) {
			return m
		}
		must(t, err)
		var kind struct {
			Kind     string
			Metadata struct{ Namespace string }
		}
		decode := func(into any) {
			must(t, yaml.NewYAMLOrJSONDecoder(bytes.NewReader(document[:n]), 1<<16).Decode(into))
		}
		switch decode(&kind); kind.Kind {
		case "Namespace":
			decode(&m.namespace)
		case "ResourceQuota":
			decode(&m.quota)
		case "Role":
			if kind.Metadata.Namespace == m.namespace.Name {
				decode(&m.role)
			}
		case "ClusterRole":
			decode(&m.whole)
		}
	}
}

// allowed lists what rules allow, as group/resource verb.
func allowed(rules []rbacv1.PolicyRule) []string {
	var all []string
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			all = append(all, rule.APIGroups[0]+"/"+rule.Resources[0]+" "+verb)
		}
	}
	return all
}

// What deploy/smoke.yaml gives is what a run asks for, and what is of use in
// telling why it has failed; and nothing else.
func TestManifest(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string]StepSettings{
		"as it is": Default().Steps, "all steps": {DNS: true, API: true, Logs: true, Exec: true, Policy: true, Volume: true},
	} {
		m := readManifest(t, name == "all steps")
		s := Default()
		s.Steps = steps
		inside, whole := []string{"/events list"}, []string{"/nodes get", "/namespaces get"}
		if steps.Volume {
			inside = append(inside, "/persistentvolumeclaims get")
		}
		for _, r := range s.rights() {
			on := r.on.Group + "/" + r.on.name
			if r.subresource != "" {
				on += "/" + r.subresource
			}
			for _, verb := range r.verbs {
				if r.everywhere {
					whole = append(whole, on+" "+verb)
				} else {
					inside = append(inside, on+" "+verb)
				}
			}
		}
		sorted := cmpopts.SortSlices(strings.Compare)
		if diff := cmp.Diff(inside, allowed(m.role.Rules), sorted); diff != "" {
			t.Errorf("%s: the namespace's role (-wanted +given):\n%s", name, diff)
		}
		if diff := cmp.Diff(whole, allowed(m.whole.Rules), sorted); diff != "" {
			t.Errorf("%s: the cluster role (-wanted +given):\n%s", name, diff)
		}
		// What is in the file is what a run would have made itself.
		if diff := cmp.Diff(namespaceObject(s.Namespace).ObjectMeta, m.namespace.ObjectMeta); diff != "" {
			t.Errorf("the namespace (-made +given):\n%s", diff)
		}
		if diff := cmp.Diff(quotaObject().Spec, m.quota.Spec); diff != "" || m.quota.Name != quotaObject().Name {
			t.Errorf("the quota %s (-made +given):\n%s", m.quota.Name, diff)
		}
	}
}
