package collectors

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
)

// apiTarget is one API server, or the Service in front of them.
type apiTarget struct {
	base      *url.URL
	subject   string // host:port
	client    *http.Client
	transport *http.Transport // below the client
	settings  *apiserverSettings
	latency   *prometheus.HistogramVec
}

// look makes all requests at once: with etcd gone some of them hang, and the
// others tell why.
func (t *apiTarget) look(ctx context.Context, r *Report) {
	answers := make([]apiAnswer, len(apiOperations))
	var asked parallel
	for i, operation := range apiOperations {
		asked.run(func() { answers[i] = t.request(ctx, operation) })
	}
	asked.wait()

	a := &assessment{about: "API server " + t.subject}
	up := false
	if silent, why := unanswered(answers); silent {
		if refusesCertificate(answers[0].err) {
			a.add(health.Unknown, "refuses the client certificate: %s", why)
		} else {
			a.add(health.Critical, "does not answer: %s", why)
		}
	}
	silent := len(a.findings) > 0
	for i := range answers {
		answer := &answers[i]
		var answered, well bool
		switch {
		case answer.err != nil:
			if !silent {
				a.add(health.Critical, "%s: %s", answer.path, cause(answer.err, answer.waited))
			}
		case answer.operation == "livez" || answer.operation == "readyz":
			answered, well = t.judgeChecks(r, a, answer)
		default:
			answered, well = t.judgeRead(a, answer)
		}
		up = up || answered
		if well {
			t.latency.WithLabelValues(t.subject, answer.operation).Observe(answer.took.Seconds())
		}
		r.Sample(&apiLast, answer.took.Seconds(), t.subject, answer.operation)
		r.Sample(&apiSuccess, boolean(well), t.subject, answer.operation)
		r.Sample(&apiCode, float64(answer.code), t.subject, answer.operation)
	}
	r.Sample(&apiUp, boolean(up), t.subject)
	a.verdict(r, t.subject)
}

// unanswered tells whether no request at all was answered, and why.
func unanswered(answers []apiAnswer) (bool, string) {
	for i := range answers {
		if answers[i].err == nil {
			return false, ""
		}
	}
	first := &answers[0]
	return true, cause(first.err, first.waited)
}

// judgeChecks reads an answer of /livez or /readyz. answered means that it is
// one of an API server, well that every check passed.
func (t *apiTarget) judgeChecks(r *Report, a *assessment, answer *apiAnswer) (answered, well bool) {
	if deniedRead(a, answer) {
		return answer.object().Kind != "" || answer.code == http.StatusUnauthorized, false
	}
	checks := healthChecks(string(answer.body))
	var failed []string
	seen := make(map[string]bool, len(checks))
	for _, check := range checks {
		if seen[check.name] {
			continue
		}
		seen[check.name] = true
		r.Sample(&apiCheckUp, boolean(check.passed), t.subject, answer.path, check.name)
		if !check.passed {
			failed = append(failed, check.name)
		}
	}
	switch {
	case len(failed) > 0 && answer.operation == "readyz" && slices.Equal(failed, []string{"shutdown"}):
		a.add(health.Warning, "is shutting down")
	case len(failed) > 0:
		a.add(health.Critical, "fails on %s: %s", answer.path, clip(strings.Join(failed, ", "), 160))
	case answer.code == http.StatusOK && (len(checks) > 0 || strings.TrimSpace(string(answer.body)) == "ok"):
		return true, true
	case answer.code == http.StatusTooManyRequests:
		a.add(health.Warning, "is overloaded: %s answers 429", answer.path)
		return true, false
	default:
		a.add(health.Critical, "does not answer %s as an API server does: %d, %s, %q", answer.path, answer.code, answer.mediaWords(), answer.words())
		return false, false
	}
	return true, false
}

// judgeRead reads the answer to a get or list, in the sense of judgeChecks.
func (t *apiTarget) judgeRead(a *assessment, answer *apiAnswer) (answered, well bool) {
	if deniedRead(a, answer) {
		return answer.object().Kind != "" || answer.code == http.StatusUnauthorized, false
	}
	object := answer.object()
	switch {
	case object.Kind == "":
		a.add(health.Critical, "does not answer %s as an API server does: %d, %s, %q", answer.path, answer.code, answer.mediaWords(), answer.words())
		return false, false
	case answer.code == http.StatusTooManyRequests:
		a.add(health.Warning, "is overloaded: %s of %s answers 429", answer.operation, answer.path)
		return true, false
	case answer.code != http.StatusOK && answer.code != http.StatusNotFound:
		a.add(health.Critical, "cannot %s %s: %d, %s", answer.operation, answer.path, answer.code, answer.words())
		return true, false
	}
	limits := t.settings.Thresholds.GetLatency.seconds()
	if answer.operation == "list" {
		limits = t.settings.Thresholds.ListLatency.seconds()
	}
	took := answer.took.Seconds()
	a.hold(took, limits, "seconds", "took %s to %s %s", seconds(took), answer.operation, answer.path)
	if answer.operation == "get" {
		_, limit := limits.judge(0)
		a.measured = health.Evidence{Value: took, Threshold: limit, Unit: "seconds"}
	}
	return true, true
}

// deniedRead records that the API server did not let us ask.
func deniedRead(a *assessment, answer *apiAnswer) bool {
	switch answer.code {
	case http.StatusUnauthorized:
		a.add(health.Unknown, "does not accept the credentials (401)")
	case http.StatusForbidden:
		a.add(health.Unknown, "does not allow this user to %s %s: %s", verb(answer), answer.path, answer.words())
	default:
		return false
	}
	return true
}

// verb is the operation as authorization rules name it.
func verb(answer *apiAnswer) string {
	if answer.operation == "list" {
		return "list"
	}
	return "get"
}
