package collectors

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
)

// apiVia is how a target is known.
type apiVia string

const (
	viaOwn        apiVia = "own"        // runs on this node
	viaConfigured apiVia = "configured" // here, or in the kubeconfig
	viaDiscovered apiVia = "discovered" // another instance
	viaService    apiVia = "service"    // the Service in front of them
)

// apiTarget is one API server, or the Service in front of them.
type apiTarget struct {
	base       *url.URL
	subject    string // host:port
	via        apiVia
	operations []string // what is asked
	client     *http.Client
	transport  *http.Transport // below the client
	settings   *apiserverSettings
	latency    *prometheus.HistogramVec

	found    bool // by discovery
	answered atomic.Bool
	missing  atomic.Pointer[time.Time] // since when it is no endpoint of the Service; nil: it is one, or nobody knows

	// Below: touched by one run at a time.
	renew      time.Time  // when to connect anew
	connecting httpPhases // of the newest connection
	expiry     time.Time  // of the certificate it last showed; zero: it showed none yet
}

// headStart is what a request is given before the next one starts beside it:
// with etcd gone some of them hang, and the others tell why. While all is well
// they follow each other over one connection.
const headStart = 50 * time.Millisecond

// look makes the requests and judges what they bring.
func (t *apiTarget) look(ctx context.Context, r *Report) {
	if now := time.Now(); !now.Before(t.renew) {
		// The kept connection tells neither that nobody new gets in, nor
		// that the certificate was renewed or has expired.
		t.transport.CloseIdleConnections()
		t.renew = now.Add(knockEvery)
	}
	answers := t.ask(ctx)

	a := &assessment{about: "API server " + t.subject}
	if t.via == viaService {
		a.about = "API server through its Service " + t.subject
	}
	up := false
	silent, why := unanswered(answers)
	if silent {
		if refusesCertificate(answers[0].err) {
			a.add(health.Unknown, "refuses the client certificate: %s", why)
		} else {
			a.add(health.Critical, "does not answer: %s", why)
		}
		t.renew = time.Time{}
	}
	for i := range answers {
		answer := &answers[i]
		answered, well := t.judge(r, a, answer, silent)
		up = up || answered
		if answer.operation == operationShort {
			continue
		}
		if well {
			t.latency.WithLabelValues(t.subject, answer.operation).Observe(answer.took.Seconds())
		}
		r.Sample(&apiLast, answer.took.Seconds(), t.subject, answer.operation)
		r.Sample(&apiSuccess, boolean(well), t.subject, answer.operation)
		r.Sample(&apiCode, float64(answer.code), t.subject, answer.operation)
	}
	t.answered.Store(up)
	r.Sample(&apiUp, boolean(up), t.subject)
	r.Sample(&apiInfo, 1, t.subject, string(t.via))
	t.reportConnection(r, a, answers, silent)
	if t.missing.Load() != nil {
		a.add(health.Warning, "is no longer among the endpoints of the Service kubernetes")
	}
	a.verdict(r, t.subject)
}

// ask makes the requests, in the order of operations.
func (t *apiTarget) ask(ctx context.Context) []apiAnswer {
	answers := make([]apiAnswer, len(t.operations))
	done := make([]chan struct{}, len(t.operations))
	var asked parallel
	for i, operation := range t.operations {
		done[i] = make(chan struct{})
		asked.run(func() {
			defer close(done[i])
			answers[i] = t.request(ctx, operation)
		})
		doneWithin(ctx, done[i], headStart)
	}
	var short []apiAnswer
	if i := slices.Index(t.operations, "readyz"); i >= 0 && !doneWithin(ctx, done[i], headStart) {
		asked.run(func() { short = append(short, t.request(ctx, operationShort)) })
	}
	asked.wait()
	if slices.ContainsFunc(answers, func(a apiAnswer) bool { return a.operation == "readyz" && a.err == nil }) {
		return answers // which tell all there is
	}
	return append(short, answers...)
}

// doneWithin waits until done is closed, but not longer than d, and tells whether
// it was.
func doneWithin(ctx context.Context, done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// unanswered tells whether no request at all was answered, and why.
func unanswered(answers []apiAnswer) (bool, string) {
	for i := range answers {
		if answers[i].err == nil {
			return false, ""
		}
	}
	return true, slices.MaxFunc(answers, func(x, y apiAnswer) int { return cmp.Compare(x.waited, y.waited) }).why()
}

// judge reads one answer. answered means that it is one of an API server,
// well that it is as it should be. silent: that nothing was answered is said.
func (t *apiTarget) judge(r *Report, a *assessment, answer *apiAnswer, silent bool) (answered, well bool) {
	if answer.operation == "livez" || answer.operation == "readyz" {
		checks := healthChecks(string(answer.body))
		r.Sample(&apiChecks, float64(len(checks)), t.subject, answer.path)
		r.Sample(&apiChecksFailed, float64(len(failedChecks(checks))), t.subject, answer.path)
	}
	switch {
	case answer.err != nil && !silent && answer.operation == "create":
		t.judgeNoCreate(a, answer)
		return false, false
	case answer.err != nil && !silent && answer.operation != operationShort:
		a.add(health.Critical, "%s: %s", answer.path, answer.why())
		return false, false
	case answer.err != nil:
		return false, false
	}
	switch answer.operation {
	case "livez", "readyz", operationShort:
		return t.judgeChecks(r, a, answer)
	case "create":
		return t.judgeCreate(a, answer)
	}
	return t.judgeRead(a, answer)
}

// reportConnection exports the phases of connecting and of a request, and
// judges the certificate.
func (t *apiTarget) reportConnection(r *Report, a *assessment, answers []apiAnswer, silent bool) {
	request := answers[0].phases.answer
	for i := range answers {
		answer := &answers[i]
		if answer.phases.dial > 0 {
			t.connecting = answer.phases
		}
		if !answer.expiry.IsZero() && (answer.phases.dial > 0 || t.expiry.IsZero()) {
			t.expiry = answer.expiry
		}
		if answer.operation == "get" && answer.err == nil {
			request = answer.phases.answer
		}
	}
	t.connecting.export(r, &apiPhase, hostPortOf(t.base.Scheme, t.base.Host), request)
	if t.expiry.IsZero() {
		return
	}
	r.Sample(&apiExpiry, float64(t.expiry.Unix()), t.subject)
	if !silent { // else it was said why
		a.expiry(t.expiry, time.Now(), t.settings.Thresholds.Certificate)
	}
}

// judgeChecks reads an answer of /livez or /readyz.
func (t *apiTarget) judgeChecks(r *Report, a *assessment, answer *apiAnswer) (answered, well bool) {
	if deniedRead(a, answer) {
		return answer.object().Kind != "" || answer.code == http.StatusUnauthorized, false
	}
	checks := healthChecks(string(answer.body))
	failed := failedChecks(checks)
	if answer.operation != operationShort {
		for _, name := range failed[:min(len(failed), maxFailedChecks)] {
			r.Sample(&apiCheckFailed, 1, t.subject, answer.path, name)
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
	if answer.operation == "list" || answer.operation == "create" {
		return answer.operation
	}
	return "get"
}
