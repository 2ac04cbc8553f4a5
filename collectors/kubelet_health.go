package collectors

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/grapevine-mesh/grapevine/health"
)

// lookHealth asks the kubelet itself.
func (c *kubeletCheck) lookHealth(ctx context.Context, r *Report) {
	a := &assessment{about: "kubelet"}
	var answer, detailed httpAnswer
	var asked parallel
	asked.run(func() { answer = healthz(ctx, c.client, c.health) })
	asked.run(func() { detailed = healthz(ctx, c.serving, "https://"+c.settings.ServingAddress) })
	asked.wait()

	checks := healthChecks(string(answer.body))
	if more := healthChecks(string(detailed.body)); detailed.err == nil && len(more) > len(checks) {
		answer, checks = detailed, more
	}
	var failed []string
	for _, check := range checks {
		r.Sample(&kubeletCheckUp, boolean(check.passed), check.name)
		if !check.passed {
			failed = append(failed, check.name)
		}
	}
	well := false
	switch {
	case answer.err != nil:
		a.add(health.Critical, "does not answer %s/healthz: %s", c.health, answer.why())
	case answer.code == http.StatusOK && (len(checks) > 0 || strings.TrimSpace(string(answer.body)) == "ok"):
		well = true
	case len(checks) == 0:
		a.add(health.Critical, "does not answer %s/healthz as a kubelet does: %d, %s, %q", c.health, answer.code, answer.mediaWords(), answer.words())
	default:
		a.add(health.Critical, "fails its own check %s", clip(strings.Join(failed, ", "), 160))
	}
	took := answer.took.Seconds()
	if well {
		limits := c.settings.Thresholds.Latency.seconds()
		_, limit := limits.judge(0)
		a.measured = health.Evidence{Value: took, Threshold: limit, Unit: "seconds"}
		a.hold(took, limits, "seconds", "took %s to answer /healthz", seconds(took))
		c.latency.WithLabelValues().Observe(took)
	}
	r.Sample(&kubeletUp, boolean(answer.err == nil && answer.code == http.StatusOK))
	r.Sample(&kubeletLast, took)
	if at := detailed.expiry; !at.IsZero() {
		r.Sample(&kubeletCertificate, float64(at.Unix()))
		a.expiry(at, time.Now(), c.settings.Thresholds.Certificate)
	}
	a.verdict(r, "healthz")
}

// healthz asks for the checks behind /healthz.
func healthz(ctx context.Context, client *http.Client, base string) httpAnswer {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/healthz?verbose", nil)
	if err != nil {
		return httpAnswer{err: err}
	}
	return ask(client, req)
}

// servingClient asks the kubelet's own API, which tells more than the open
// endpoint to those it lets in: the state of the sync loop, and its
// certificate to all. Installers let the kubelet sign that itself, so on this
// very node it need not verify; a token is then not shown, which a stranger
// could use again, unlike a client certificate.
func (k *kubeAPI) servingClient(address, nodeName string) (*http.Client, *http.Transport, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if k != nil {
		var err error
		if conf, err = rest.TLSConfigFor(k.access.config); err != nil {
			return nil, nil, err
		}
	}
	if conf == nil {
		conf = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	conf.ServerName = nodeName
	conf.InsecureSkipVerify = onLoopback(address) //nolint:gosec // see above
	client, transport := newHTTPClient(conf)
	return client, transport, nil
}

// onLoopback tells whether host:port cannot be anywhere but on this node.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
