package collectors

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// apiAdmission is the block "admission": the create of a ConfigMap with
// dryRun=All goes through authorization, quotas, policies and webhooks, and is
// then not stored. It is made at the first endpoint only. It costs the API
// server and every webhook a request on each run: switch it on where few nodes
// make it, such as the control plane's.
type apiAdmission struct {
	Enabled   bool   `yaml:"enabled"`
	Namespace string `yaml:"namespace"`
}

var namespaceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func (s apiAdmission) validate() error {
	if !namespaceName.MatchString(s.Namespace) {
		return fmt.Errorf("admission: namespace: %q is no name of a namespace", clip(s.Namespace, 80))
	}
	return nil
}

// request is path, query and body of the create. The server is told to give
// up before we do: there is time left then to look for the cause.
func (s apiAdmission) request(ctx context.Context) (path, query, body string) {
	values := url.Values{"dryRun": {"All"}, "fieldManager": {"grapevine"}}
	if deadline, ok := ctx.Deadline(); ok {
		values.Set("timeout", max(time.Until(deadline)*8/10, 100*time.Millisecond).Round(time.Millisecond).String())
	}
	return "/api/v1/namespaces/" + s.Namespace + "/configmaps", values.Encode(),
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"grapevine-dry-run-"}}`
}

// judgeCreate reads the answer to the create, in the sense of judge. A policy
// that refuses the object is none of our business: only what keeps anybody
// from creating anything is bad.
func (t *apiTarget) judgeCreate(a *assessment, answer *apiAnswer) (answered, well bool) {
	object := answer.object()
	words := answer.words()
	if object.Message != "" {
		words = clip(object.Message, 240) // what failed stands at the end
	}
	switch {
	case answer.code == http.StatusUnauthorized:
		deniedRead(a, answer)
		return true, false
	case answer.code == http.StatusGatewayTimeout:
		t.judgeNoCreate(a, answer)
		return object.Kind != "", false
	case object.Kind == "":
		a.add(health.Critical, "does not answer the create of a ConfigMap as an API server does: %d, %s, %q", answer.code, answer.mediaWords(), words)
		return false, false
	case answer.code == http.StatusTooManyRequests:
		a.add(health.Warning, "is overloaded: the create of a ConfigMap by dry run answers 429")
		return true, false
	case answer.code == http.StatusCreated:
		took := answer.took.Seconds()
		a.hold(took, t.settings.Thresholds.CreateLatency.seconds(), "seconds", "took %s to create a ConfigMap by dry run, admission included", seconds(took))
		return true, true
	case answer.code >= 500:
		a.add(health.Critical, "cannot create a ConfigMap by dry run in namespace %s: %d, %s", t.settings.Admission.Namespace, answer.code, words)
		return true, false
	case answer.code == http.StatusForbidden && strings.Contains(words, "cannot create resource"):
		a.add(health.Unknown, "does not allow this user to create configmaps in namespace %s: %s", t.settings.Admission.Namespace, words)
		return true, false
	}
	a.add(health.Unknown, "refuses the ConfigMap that a dry run would create in namespace %s, so that it tells nothing of admission: %d, %s", t.settings.Admission.Namespace, answer.code, words)
	return true, false
}

// judgeNoCreate words that there was no answer to the create. When the time is
// up that it was given, the server says so or ends the connection.
func (t *apiTarget) judgeNoCreate(a *assessment, answer *apiAnswer) {
	why := "no answer within " + seconds(answer.waited.Round(time.Millisecond).Seconds())
	if err := answer.err; err != nil && (!closedEarly(err) || answer.waited < time.Second) {
		why = answer.why()
	}
	if len(answer.webhooks) > 0 {
		why += "; it calls the admission webhooks " + clip(strings.Join(answer.webhooks, ", "), 160)
	}
	a.add(health.Critical, "cannot create a ConfigMap by dry run in namespace %s: %s", t.settings.Admission.Namespace, why)
}

// webhooks are the names of those that the API server calls for our create, as
// far as their rules tell; none when they may not be read.
func (t *apiTarget) webhooks(ctx context.Context) (names []string) {
	for _, kind := range []string{"mutating", "validating"} {
		var list struct {
			Items []struct {
				Webhooks []struct {
					Name  string `json:"name"`
					Rules []struct {
						APIGroups  []string `json:"apiGroups"`
						Operations []string `json:"operations"`
						Resources  []string `json:"resources"`
					} `json:"rules"`
				} `json:"webhooks"`
			} `json:"items"`
		}
		path := "/apis/admissionregistration.k8s.io/v1/" + kind + "webhookconfigurations"
		if err := getObject(ctx, t.client, t.base, path, url.Values{"limit": {"100"}}, &list); err != nil {
			continue
		}
		for _, item := range list.Items {
			for _, hook := range item.Webhooks {
				for _, rule := range hook.Rules {
					if listsAny(rule.APIGroups, "", "*") && listsAny(rule.Operations, "CREATE", "*") && listsAny(rule.Resources, "configmaps", "*", "*/*") && !slices.Contains(names, hook.Name) {
						names = append(names, hook.Name)
					}
				}
			}
		}
	}
	return names
}

// listsAny tells whether a list has one of the words.
func listsAny(list []string, words ...string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return slices.Contains(words, s) })
}
