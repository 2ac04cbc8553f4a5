package collectors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/grapevine-mesh/grapevine/health"
)

// customHTTP asks a URL. Redirects are not followed: their status is the
// answer.
type customHTTP struct {
	URL     string            `yaml:"url"`
	Method  string            `yaml:"method"` // GET, the default, or HEAD
	Headers map[string]string `yaml:"headers"`
	// Status are the codes that are fine; empty means 200 to 299.
	Status []int `yaml:"status"`
	// Contains and Matches, a regular expression, are looked for in the
	// body, of which at most 1 MiB is taken.
	Contains string `yaml:"contains"`
	Matches  string `yaml:"matches"`

	CAFile   string `yaml:"ca_file"` // empty: the system's
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`

	Thresholds customHTTPThresholds `yaml:"thresholds"`
}

type customHTTPThresholds struct {
	// Latency of the whole request.
	Latency DurationLimits `yaml:"latency"`
	// CertificateLeft is how long the certificate is to be valid still; 7
	// days and 1 day when it is not given.
	CertificateLeft *DurationLimits `yaml:"certificate_left"`
}

func (s *customHTTP) validate() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fmt.Errorf("url: %q is not of the form https://host/path", clip(s.URL, 100))
	case u.User != nil:
		return errors.New("url: names a user; give a header Authorization instead")
	case s.Method != "" && s.Method != http.MethodGet && s.Method != http.MethodHead:
		return fmt.Errorf("method: %q is neither GET nor HEAD", clip(s.Method, 20))
	case s.Method == http.MethodHead && s.Contains+s.Matches != "":
		return errors.New("method: the answer to HEAD has no body to look into")
	case (s.CertFile == "") != (s.KeyFile == ""):
		return errors.New("cert_file: cert_file and key_file go together")
	}
	for name, value := range s.Headers {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return fmt.Errorf("headers: %q is not the name of a header, or its value cannot be sent", clip(name, 60))
		}
	}
	for _, code := range s.Status {
		if code < 100 || code > 599 {
			return fmt.Errorf("status: %d is not between 100 and 599", code)
		}
	}
	if _, err := compiled("matches", s.Matches); err != nil {
		return err
	}
	if left := s.Thresholds.CertificateLeft; left != nil && (left.Warning < 0 || left.Critical < 0 || left.Warning > 0 && left.Critical > left.Warning) {
		return errors.New("thresholds: certificate_left: critical is above warning, or one is below zero")
	}
	return validLatency(s.Thresholds.Latency)
}

func (s *customHTTP) probe(status health.Status) (customProbe, error) {
	matches, err := compiled("matches", s.Matches)
	if err != nil {
		return nil, err
	}
	p := &httpProbe{customHTTP: *s, status: status, matches: matches, left: certificateLimits}
	if s.Thresholds.CertificateLeft != nil {
		p.left = *s.Thresholds.CertificateLeft
	}
	return p, nil
}

// httpProbe asks a URL.
type httpProbe struct {
	customHTTP
	status  health.Status
	matches *regexp.Regexp // nil: none
	left    DurationLimits
}

func (p *httpProbe) look(ctx context.Context, r customReport, a *assessment) string {
	a.about += ": " + clip(p.URL, 150)
	answer, err := p.request(ctx)
	if err != nil {
		r.sample(&customHTTPStatus, 0)
		a.add(health.Unknown, "was not asked: %s", clip(err.Error(), 200))
		return ""
	}
	r.sample(&customHTTPStatus, float64(answer.code))
	for phase, took := range map[string]time.Duration{
		"resolve": answer.phases.resolve, "dial": answer.phases.dial, "tls": answer.phases.tls, "answer": answer.phases.answer,
	} {
		r.sample(&customHTTPPhase, took.Seconds(), phase)
	}
	p.expiry(r, a, answer.expiry, time.Now())
	if answer.err != nil {
		a.add(p.status, "fails: %s", answer.why())
		return ""
	}
	took := answer.waited.Seconds()
	limits := p.Thresholds.Latency.seconds()
	if _, limit := limits.judge(0); limit > 0 {
		a.measured = health.Evidence{Value: took, Threshold: limit, Unit: "seconds"}
	}
	a.hold(took, limits, "seconds", "took %s", seconds(took))
	switch {
	case len(p.Status) == 0 && (answer.code < 200 || answer.code > 299), len(p.Status) > 0 && !slices.Contains(p.Status, answer.code):
		a.add(p.status, "answers status %d: %s", answer.code, answer.words())
	case p.Contains != "" && !bytes.Contains(answer.body, []byte(p.Contains)):
		a.add(p.status, "answers without %q: %s", clip(p.Contains, 80), answer.words())
	case p.matches != nil && !p.matches.Match(answer.body):
		a.add(p.status, "answers nothing that matches %q: %s", clip(p.Matches, 80), answer.words())
	}
	return ""
}

// request asks over a connection of its own, so that every run sees the whole
// way, and files that were replaced are in use.
func (p *httpProbe) request(ctx context.Context) (httpAnswer, error) {
	conf, err := tlsFiles{CA: p.CAFile, Cert: p.CertFile, Key: p.KeyFile}.config()
	if err != nil {
		return httpAnswer{}, err
	}
	client, transport := newHTTPClient(conf)
	defer transport.CloseIdleConnections()
	method := p.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, p.URL, nil)
	if err != nil {
		return httpAnswer{}, err
	}
	for name, value := range p.Headers {
		if strings.EqualFold(name, "Host") {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	return ask(client, req), nil
}

// expiry judges a certificate that the server showed.
func (p *httpProbe) expiry(r customReport, a *assessment, expiry, now time.Time) {
	if expiry.IsZero() {
		return
	}
	r.sample(&customExpiry, float64(expiry.Unix()))
	left := expiry.Sub(now)
	var status health.Status
	limit := p.left.Warning
	switch {
	case p.left.Critical > 0 && left < p.left.Critical:
		status, limit = health.Critical, p.left.Critical
	case left < p.left.Warning:
		status = health.Warning
	default:
		return
	}
	text := fmt.Sprintf("has a certificate that expires in %.1f days", left.Hours()/24)
	if left < 0 {
		text = fmt.Sprintf("has a certificate that expired %.1f days ago", -left.Hours()/24)
	}
	a.findings = append(a.findings, finding{status: status, text: text, evidence: health.Evidence{Value: left.Seconds(), Threshold: limit.Seconds(), Unit: "seconds"}})
}
