package collectors

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// electedPaths are asked in this order. All components have the first.
var electedPaths = []string{"/healthz", "/livez", "/readyz"}

// electedTarget is one instance.
type electedTarget struct {
	part      *elected
	base      *url.URL
	subject   string // host:port
	loopback  bool
	trust     *electedTrust
	client    *http.Client
	transport *http.Transport // below the client
	limits    ExpiryLimits    // of the certificate's time left
}

func newElectedTarget(s *electedSettings, u *url.URL, api *kubeAPI, certFile string) *electedTarget {
	ip := net.ParseIP(u.Hostname())
	t := &electedTarget{
		part: s.part, base: u, subject: u.Host, limits: s.Thresholds.Certificate,
		loopback: ip != nil && ip.IsLoopback() || u.Hostname() == "localhost",
	}
	t.trust = &electedTrust{
		caFile: s.CAFile, certFile: certFile, api: api, anyone: s.InsecureSkipVerify, loopback: t.loopback,
		name: s.ServerName,
	}
	if t.trust.name == "" {
		t.trust.name = u.Hostname()
	}
	t.client, t.transport = newHTTPClient(t.trust.config())
	return t
}

// look asks one path after the other, over one connection, until one is not
// answered at all.
func (t *electedTarget) look(ctx context.Context, r *Report) {
	a := &assessment{about: t.part.program + " at " + t.subject}
	up := false
	var expiry time.Time
	for i, path := range electedPaths {
		answer := t.request(ctx, path)
		if !answer.expiry.IsZero() {
			expiry = answer.expiry
		}
		if answer.code == http.StatusNotFound && i > 0 {
			continue
		}
		well := false
		switch {
		case answer.err != nil:
			t.judgeSilence(a, path, &answer)
		default:
			var answered bool
			answered, well = t.judge(r, a, path, &answer)
			up = up || answered
		}
		r.Sample(&t.part.metrics.success, boolean(well), t.subject, path)
		r.Sample(&t.part.metrics.last, answer.took.Seconds(), t.subject, path)
		if answer.err != nil {
			break // the others would only take their time, too
		}
	}
	r.Sample(&t.part.metrics.up, boolean(up), t.subject)
	if !expiry.IsZero() {
		by := t.trust.verdict()
		r.Sample(&t.part.metrics.expiry, float64(expiry.Unix()), t.subject)
		r.Sample(&t.part.metrics.verified, boolean(by != trustedByNone), t.subject, by)
		a.expiry(expiry, time.Now(), t.limits)
	}
	a.verdict(r, t.subject)
}

func (t *electedTarget) request(ctx context.Context, path string) httpAnswer {
	target := *t.base
	target.Path, target.RawQuery = strings.TrimSuffix(t.base.Path, "/")+path, "verbose"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return httpAnswer{err: err}
	}
	req.Header.Set("Accept", "text/plain, */*")
	return ask(t.client, req)
}

// judgeSilence words why there was no answer.
func (t *electedTarget) judgeSilence(a *assessment, path string, answer *httpAnswer) {
	why := answer.why()
	var unverifiable unverifiable
	switch {
	case errors.As(answer.err, &unverifiable):
		a.add(health.Unknown, "shows a certificate that there is nothing to verify it by: %s; name its CA by ca_file, or set insecure_skip_verify", why)
	case refusesCertificate(answer.err):
		a.add(health.Unknown, "wants a client certificate: %s", why)
	case path == electedPaths[0]:
		a.add(health.Critical, "does not answer: %s", why)
	default:
		a.add(health.Critical, "does not answer %s: %s", path, why)
	}
}

// judge reads an answer. answered means that it is one of such a component,
// well that every check passed.
func (t *electedTarget) judge(r *Report, a *assessment, path string, answer *httpAnswer) (answered, well bool) {
	if answer.code == http.StatusUnauthorized || answer.code == http.StatusForbidden {
		a.add(health.Unknown, "does not tell %s to a stranger (%d): see its --authorization-always-allow-paths", path, answer.code)
		return true, false
	}
	checks := healthChecks(string(answer.body))
	var failed []string
	seen := make(map[string]bool, len(checks))
	for _, check := range checks {
		if seen[check.name] {
			continue
		}
		seen[check.name] = true
		r.Sample(&t.part.metrics.checkUp, boolean(check.passed), t.subject, path, check.name)
		if !check.passed {
			failed = append(failed, check.name)
		}
	}
	switch {
	case len(failed) > 0 && path == "/readyz" && slices.Equal(failed, []string{"shutdown"}):
		a.add(health.Warning, "is shutting down")
	case len(failed) > 0:
		a.add(health.Critical, "fails on %s: %s", path, clip(strings.Join(failed, ", "), 160))
	case answer.code == http.StatusOK && (len(checks) > 0 || strings.TrimSpace(string(answer.body)) == "ok"):
		return true, true
	default:
		a.add(health.Critical, "does not answer %s as a %s does: %d, %s, %q", path, t.part.program, answer.code, answer.mediaWords(), answer.words())
		return false, false
	}
	return true, false
}
