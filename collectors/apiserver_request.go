package collectors

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Bounds of what is read from an API server.
const (
	maxAPIChecks    = 128 // of one of /livez, /readyz
	maxAPICheckName = 100 // bytes
)

// apiOperations are the probes of one run, in the order of reasons.
var apiOperations = []string{"livez", "readyz", "get", "list"}

// apiAnswer is what one of the probes brought.
type apiAnswer struct {
	operation string
	path      string // for the reason
	httpAnswer
}

// request makes one probe.
func (t *apiTarget) request(ctx context.Context, operation string) (a apiAnswer) {
	target := *t.base
	accept := "application/json"
	var path string
	switch operation {
	case "livez", "readyz":
		path, target.RawQuery, accept = "/"+operation, "verbose", "text/plain, */*"
	case "get":
		path = t.settings.GetPath
	case "list":
		path, target.RawQuery = t.settings.ListPath, url.Values{"limit": {"1"}}.Encode()
	}
	target.Path = strings.TrimSuffix(target.Path, "/") + path
	a = apiAnswer{operation: operation, path: path}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		a.err = err
		return a
	}
	req.Header.Set("Accept", accept)
	a.httpAnswer = ask(t.client, req)
	return a
}

// apiCheck is one line of a verbose /livez or /readyz.
type apiCheck struct {
	name   string
	passed bool
}

// checks parses the lines "[+]etcd ok" and "[-]etcd failed: reason withheld".
func (a *apiAnswer) checks() []apiCheck {
	var checks []apiCheck
	for line := range strings.Lines(string(a.body)) {
		rest, passed := strings.CutPrefix(line, "[+]")
		if !passed {
			var failed bool
			if rest, failed = strings.CutPrefix(line, "[-]"); !failed {
				continue
			}
		}
		name, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if name == "" || len(checks) == maxAPIChecks {
			continue
		}
		checks = append(checks, apiCheck{clip(name, maxAPICheckName), passed})
	}
	return checks
}
