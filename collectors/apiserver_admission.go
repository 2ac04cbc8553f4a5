package collectors

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
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
// up before we do: it then names the webhook it waited for.
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
	switch {
	case answer.code == http.StatusUnauthorized:
		deniedRead(a, answer)
		return true, false
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
