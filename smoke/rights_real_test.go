package smoke

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// serviceAccount writes a kubeconfig of the service account of
// deploy/smoke.yaml, which has the name of its namespace.
func serviceAccount(t *testing.T, cluster *real.Cluster, namespace string) string {
	t.Helper()
	token, err := cluster.Kubectl(t.Context(), "", "create", "token", namespace, "-n", namespace)
	must(t, err)
	c, err := clientcmd.LoadFromFile(cluster.APIServer.Kubeconfig)
	must(t, err)
	c.AuthInfos = map[string]*clientcmdapi.AuthInfo{c.Contexts[c.CurrentContext].AuthInfo: {Token: strings.TrimSpace(token)}}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, clientcmd.WriteToFile(*c, path))
	return path
}

// With the rights of deploy/smoke.yaml, and no others, a run goes well, with
// all steps; and each right that is taken away is named.
func TestRightsOnARealCluster(t *testing.T) {
	t.Parallel()
	cluster := needCluster(t, real.ClusterOptions{Nodes: 2})
	apply := func(text string) {
		t.Helper()
		if _, err := cluster.Kubectl(t.Context(), text, "apply", "-f", "-"); err != nil {
			t.Fatal(err)
		}
	}
	whole := readManifest(t, true)
	apply(whole.text)
	admin := needClient(t, serviceAccount(t, cluster, "grapevine-smoke"))
	s := Default()
	s.PriorityClass = "grapevine-smoke"
	s.Steps.Logs, s.Steps.Exec, s.Steps.Policy, s.Steps.Volume, s.Steps.StorageClass = true, true, true, true, "none"
	// Who enforces no policies, and has no volumes, still takes both.
	wantsButFor(t, makeRun(t.Context(), t, admin, s, Options{}), map[string]string{
		StepPolicy: "does not enforce policies", StepVolume: "of the storage class none has got no volume",
	})
	apply(readManifest(t, false).text)
	s = Default()
	wantsGreen(t, makeRun(t.Context(), t, admin, s, Options{}))
	out, err := cluster.Kubectl(t.Context(), "", "get", "secret", "grapevine-smoke-token", "-n", "grapevine-smoke", "-o", "jsonpath={.data.token}")
	if must(t, err); out == "" {
		t.Error("the cluster has put no token into the secret")
	}

	// Each in a namespace of its own, so that they can go at once.
	type lack struct{ rule, verb, namespace, where string }
	var lacks []lack
	words := regexp.MustCompile(`resources: \[([a-z/]+)\].*verbs: \[([a-z, ]+)\]`)
	for _, line := range strings.Split(whole.text, "\n") {
		rule := words.FindStringSubmatch(line)
		if rule == nil {
			continue
		}
		for _, verb := range strings.Split(rule[2], ", ") {
			right := rule[1] + " " + verb
			aside := []string{
				"pods watch", "events list", "nodes get", "leases get", "namespaces get", // of use only when something is wrong
				"pods/exec get", "networkpolicies create", "networkpolicies list", "networkpolicies delete",
				"persistentvolumeclaims create", "persistentvolumeclaims get", "persistentvolumeclaims list", "persistentvolumeclaims delete",
			}
			if !slices.Contains(aside, right) {
				lacks = append(lacks, lack{line, verb, fmt.Sprintf("lacks-%d", len(lacks)), rule[1]})
			}
		}
	}
	if len(lacks) != 12 {
		t.Errorf("%d rights are taken away: %v", len(lacks), lacks)
	}
	turns := make(chan struct{}, 3)
	var all sync.WaitGroup
	for _, l := range lacks {
		text := strings.ReplaceAll(whole.text, "grapevine-smoke", l.namespace)
		fewer := regexp.MustCompile(`\b`+l.verb+`, |, `+l.verb+`\b|\b`+l.verb+`\b`).ReplaceAllString(l.rule[strings.Index(l.rule, "verbs:"):], "")
		if fewer == "verbs: []}" || strings.Contains(fewer, "[]") {
			fewer = "verbs: [patch]}"
		}
		text = strings.Replace(text, l.rule, l.rule[:strings.Index(l.rule, "verbs:")]+fewer, 1)
		apply(text)
		c := needClient(t, serviceAccount(t, cluster, l.namespace))
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			s := Default()
			s.Namespace, s.Patience, s.Deadline = l.namespace, 30*time.Second, 2*time.Minute // many tests run at once
			s.Steps.Logs, s.Steps.Exec = true, true
			r := Run(t.Context(), c, s, Options{})
			if r.Status == health.OK {
				t.Errorf("without %s %s: %s", l.verb, l.where, r.Reason)
				return
			}
			t.Logf("without %s %s: %s, %s", l.verb, l.where, r.Status, r.Reason)
			named := func(s Step) bool {
				return strings.Contains(s.Reason, "does not allow this user to "+l.verb+" "+l.where)
			}
			if !slices.ContainsFunc(r.Steps, named) {
				t.Errorf("without %s %s: it is not named: %s", l.verb, l.where, r.Reason)
			}
		})
	}
	all.Wait()
}
