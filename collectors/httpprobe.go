package collectors

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"
)

// maxHTTPBody bounds what is read of any answer, in bytes.
const maxHTTPBody = 1 << 20

// httpAnswer is what one HTTP request brought. Exactly one of code and err is
// set.
type httpAnswer struct {
	code   int
	media  string // Content-Type
	header http.Header
	body   []byte // at most maxHTTPBody
	err    error
	took   time.Duration // without connecting
	waited time.Duration // with it
	phases httpPhases
	stage  string    // what was under way when the time was up, for a reason
	expiry time.Time // when the first of the certificates it showed expires; zero when it showed none
}

// newHTTPClient returns a client that follows no redirect and asks no proxy,
// and the transport whose idle connections are to be closed in the end. It
// speaks HTTP/1.1: each probe then has a connection of its own, and one that
// hangs is thrown away instead of being shared by the next.
func newHTTPClient(conf *tls.Config) (*http.Client, *http.Transport) {
	if conf != nil {
		conf.NextProtos = []string{"http/1.1"}
	}
	transport := &http.Transport{
		TLSClientConfig:        conf,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // so that a bound on the body holds
	}
	return &http.Client{Transport: transport, CheckRedirect: stay}, transport
}

// stay follows no redirect.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// ask sends req once and reads the answer, which ends with the context of req
// at the latest, however it drips.
func ask(client *http.Client, req *http.Request) (a httpAnswer) {
	clock := &phaseClock{begun: time.Now()}
	defer func() {
		clock.read(&a)
		if a.expiry.IsZero() {
			a.expiry = refusedExpiry(a.err)
		}
	}()
	resp, err := client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), clock.trace())))
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close()
	if resp.TLS != nil {
		a.expiry = firstExpiry(resp.TLS.PeerCertificates)
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxHTTPBody+1))
	switch {
	case err != nil && timedOut(err):
		a.err = fmt.Errorf("the answer was not whole in time, %d bytes came: %w", len(a.body), err)
	case err != nil:
		a.err = err
	case req.Context().Err() != nil:
		// A server that notices that we hang up may say something yet, which
		// then is not what was asked for.
		a.err = context.Cause(req.Context())
	case len(a.body) > maxHTTPBody:
		a.err = errors.New("the answer is larger than " + size(maxHTTPBody))
	default:
		a.code, a.media, a.header = resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header
	}
	return a
}

// why words the reason of a request that failed, and how far it came when
// its time was up.
func (a httpAnswer) why() string {
	if timedOut(a.err) && a.stage != "" {
		return cause(a.err, a.waited) + ": " + a.stage
	}
	return cause(a.err, a.waited)
}

// firstExpiry is when the first of the chain expires.
func firstExpiry(chain []*x509.Certificate) (first time.Time) {
	for _, cert := range chain {
		if first.IsZero() || cert.NotAfter.Before(first) {
			first = cert.NotAfter
		}
	}
	return first
}

// refusedExpiry is firstExpiry of certificates that did not verify.
func refusedExpiry(err error) time.Time {
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return firstExpiry(untrusted.UnverifiedCertificates)
	}
	return time.Time{}
}

// apiObject is what every JSON answer of an API server has.
type apiObject struct {
	Kind    string `json:"kind"`
	Message string `json:"message"` // of a Status
}

// object reads the answer as JSON; Kind is empty when it is none.
func (a *httpAnswer) object() apiObject {
	var o apiObject
	if err := json.Unmarshal(a.body, &o); err != nil {
		return apiObject{}
	}
	return o
}

// words tells a person what came back: the message of an API server, else the
// beginning of the body.
func (a *httpAnswer) words() string {
	if o := a.object(); o.Message != "" {
		return clip(o.Message, 160)
	}
	return clip(string(a.body[:min(len(a.body), 400)]), 80)
}

// mediaWords is the content type for a reason.
func (a *httpAnswer) mediaWords() string {
	if a.media == "" {
		return "no content type"
	}
	return clip(a.media, 60)
}

// hostPortOf is host:port of a connection's other end, for subjects.
func hostPortOf(scheme, host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if scheme == "http" {
		return net.JoinHostPort(strings.Trim(host, "[]"), "80")
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "443")
}
