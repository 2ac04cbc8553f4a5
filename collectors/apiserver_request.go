package collectors

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Bounds of what is read from an API server.
const (
	maxAPIChecks    = 128 // of one of /livez, /readyz
	maxAPICheckName = 100 // bytes
	maxFailedChecks = 8   // exported by name
)

// apiOperations are the probes of one run, in the order of reasons.
var (
	apiOperations     = []string{"livez", "readyz", "get", "list"}
	serviceOperations = []string{"livez", "get"}
)

// operationShort is asked when /readyz takes long. That asks etcd twice, and
// waits up to two seconds for each; without the second time there is an answer
// before our own time is up.
const operationShort = "readyz without etcd-readiness"

// apiAnswer is what one of the probes brought.
type apiAnswer struct {
	operation string
	path      string // for the reason
	httpAnswer
	webhooks []string // that may be what a create waited for
}

// request makes one probe.
func (t *apiTarget) request(ctx context.Context, operation string) (a apiAnswer) {
	target := *t.base
	accept := "application/json"
	var path string
	switch operation {
	case "livez", "readyz":
		path, target.RawQuery, accept = "/"+operation, "verbose", "text/plain, */*"
	case operationShort:
		path, target.RawQuery, accept = "/readyz", url.Values{"verbose": {""}, "exclude": {"etcd-readiness"}}.Encode(), "text/plain, */*"
	case "get":
		path = t.settings.GetPath
	case "list":
		path, target.RawQuery = t.settings.ListPath, url.Values{"limit": {"1"}}.Encode()
	}
	method, body := http.MethodGet, ""
	if operation == "create" {
		path, target.RawQuery, body = t.settings.Admission.request(ctx)
		method = http.MethodPost
	}
	target.Path = strings.TrimSuffix(target.Path, "/") + path
	a = apiAnswer{operation: operation, path: path}

	req, err := http.NewRequestWithContext(ctx, method, target.String(), strings.NewReader(body))
	if err != nil {
		a.err = err
		return a
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", accept)
	a.httpAnswer = ask(t.client, req)
	if operation == "create" && (a.err != nil || a.code == http.StatusGatewayTimeout) {
		a.webhooks = t.webhooks(ctx)
	}
	return a
}

// healthCheck is one line of a verbose /livez or /readyz.
type healthCheck struct {
	name   string
	passed bool
}

// healthChecks parses what components of Kubernetes answer to verbose: lines
// "[+]etcd ok" and "[-]etcd failed: reason withheld". Each name comes once.
func healthChecks(body string) []healthCheck {
	var checks []healthCheck
	for line := range strings.Lines(body) {
		rest, passed := strings.CutPrefix(line, "[+]")
		if !passed {
			var failed bool
			if rest, failed = strings.CutPrefix(line, "[-]"); !failed {
				continue
			}
		}
		name, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		name = clip(name, maxAPICheckName)
		known := slices.IndexFunc(checks, func(c healthCheck) bool { return c.name == name })
		switch {
		case known >= 0: // a lie; each is one series
			checks[known].passed = checks[known].passed && passed
		case name != "" && len(checks) < maxAPIChecks:
			checks = append(checks, healthCheck{name, passed})
		}
	}
	return checks
}

// failedChecks are the names of those that failed.
func failedChecks(checks []healthCheck) (failed []string) {
	for _, check := range checks {
		if !check.passed {
			failed = append(failed, check.name)
		}
	}
	return failed
}
