package smoke

import (
	"context"
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
// all steps.
func (c clusterTest) rightsOfManifest(t *testing.T) {
	c.kubectl(t, readManifest(t, true).text, "apply", "-f", "-")
	account := needClient(t, serviceAccount(t, c.Cluster, "grapevine-smoke"))
	s := in("grapevine-smoke")
	s.PriorityClass = "grapevine-smoke"
	s.Steps.Logs, s.Steps.Exec, s.Steps.Policy, s.Steps.Volume, s.Steps.StorageClass = true, true, true, true, "none"
	// Who enforces no policies, and has no volumes, still takes both.
	r := makeRunWith(t.Context(), t, account, s, Options{}, hooks{StepExec: talkInVain, StepPolicy: patience(10 * time.Second), StepVolume: calm})
	wantsButFor(t, r, map[string]string{
		StepPolicy: "does not enforce policies", StepVolume: "of the storage class none has got no volume",
	})
	c.kubectl(t, readManifest(t, false).text, "apply", "-f", "-")
	wantsGreen(t, makeRun(t.Context(), t, account, in("grapevine-smoke"), Options{}))
	var token struct{ Data struct{ Token string } }
	must(t, c.APIServer.Get(t.Context(), "/api/v1/namespaces/grapevine-smoke/secrets/grapevine-smoke-token", &token))
	if token.Data.Token == "" {
		t.Error("the cluster has put no token into the secret")
	}
}

// lack is a right of the manifest that is taken away, in a namespace of its own.
type lack struct{ rule, verb, on, namespace string }

// lacks are all but those of use only when something is wrong, or for nothing
// that these clusters have.
func lacks(manifest string) (all []lack) {
	aside := []string{
		"pods watch", "events list", "nodes get", "leases get", "namespaces get",
		"pods/exec get", "networkpolicies create", "networkpolicies list", "networkpolicies delete",
		"persistentvolumeclaims create", "persistentvolumeclaims get", "persistentvolumeclaims list", "persistentvolumeclaims delete",
	}
	words := regexp.MustCompile(`resources: \[([a-z/]+)\].*verbs: \[([a-z, ]+)\]`)
	for _, line := range strings.Split(manifest, "\n") {
		rule := words.FindStringSubmatch(line)
		if rule == nil {
			continue
		}
		for _, verb := range strings.Split(rule[2], ", ") {
			if !slices.Contains(aside, rule[1]+" "+verb) {
				all = append(all, lack{line, verb, rule[1], fmt.Sprintf("lacks-%d", len(all))})
			}
		}
	}
	return all
}

// of is the manifest without the right.
func (l lack) of(manifest string) string {
	before, verbs, _ := strings.Cut(l.rule, "verbs:")
	verbs = regexp.MustCompile(`\b`+l.verb+`, |, `+l.verb+`\b|\b`+l.verb+`\b`).ReplaceAllString(verbs, "")
	verbs = strings.Replace(verbs, "[]", "[patch]", 1) // none at all is no rule
	return strings.ReplaceAll(strings.Replace(manifest, l.rule, before+"verbs:"+verbs, 1), "grapevine-smoke", l.namespace)
}

// ends is the step after which a run need not go on, to meet what is missing.
func (l lack) ends() string {
	switch l.on {
	case "pods/log":
		return StepLogs
	case "pods/exec":
		return StepExec
	}
	if l.verb == "list" && l.on == "pods" {
		return StepSchedule
	}
	return StepAdmit // or delete, which is always taken
}

// Each right that is taken away is named, and nobody waits for what it keeps
// from coming.
func (c clusterTest) eachRightMissing(t *testing.T) {
	manifest := readManifest(t, true).text
	all := lacks(manifest)
	if len(all) != 12 {
		t.Errorf("%d rights are taken away: %v", len(all), all)
	}
	texts := make([]string, len(all))
	for i, l := range all {
		texts[i] = l.of(manifest)
	}
	c.kubectl(t, strings.Join(texts, "\n---\n"), "apply", "-f", "-")
	turns := make(chan struct{}, 4)
	var runs sync.WaitGroup
	for _, l := range all {
		kubeconfig, err := c.APIServer.KubeconfigFor("system:serviceaccount:" + l.namespace + ":" + l.namespace)
		must(t, err)
		account := needClient(t, kubeconfig)
		runs.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			c.missRight(t, account, l)
		})
	}
	runs.Wait()
}

func (c clusterTest) missRight(t *testing.T, account *Client, l lack) {
	s := in(l.namespace)
	s.Steps.Logs, s.Steps.Exec = l.on == "pods/log", l.on == "pods/exec"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := Run(ctx, account, s, Options{Told: func(step Step) {
		if step.Name == l.ends() {
			cancel()
		}
	}})
	without := fmt.Sprintf("without %s %s: %s, %s, in %.1f s", l.verb, l.on, r.Status, r.Reason, r.Seconds)
	t.Log(without)
	named := func(s Step) bool {
		return strings.Contains(s.Reason, "does not allow this user to "+l.verb+" "+l.on)
	}
	if r.Status == health.OK || !slices.ContainsFunc(r.Steps, named) {
		t.Errorf("%s: it is not named", without)
	}
	if r.Seconds > ample.Seconds()/2 {
		t.Errorf("%s: it has waited for what cannot come", without)
	}
	// The cluster removes what has lost its anchor.
	if l.verb == "delete" && l.on != "jobs" {
		err := eventually(t.Context(), func() error {
			all, err := made(t.Context(), c.Cluster)
			if err == nil && strings.Contains(all[l.namespace], "smoke-"+r.Run) {
				err = fmt.Errorf("left behind: %s", all[l.namespace])
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", without, err)
		}
	}
}
