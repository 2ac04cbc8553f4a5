package collectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Bounds of what is read from an API server.
const (
	maxAPIBody      = 1 << 20 // bytes
	maxAPIChecks    = 128     // of one of /livez, /readyz
	maxAPICheckName = 100     // bytes
)

// apiOperations are the probes of one run, in the order of reasons.
var apiOperations = []string{"livez", "readyz", "get", "list"}

// apiAnswer is what one request brought. Exactly one of code and err is set.
type apiAnswer struct {
	operation string
	path      string // for the reason
	code      int
	media     string // Content-Type
	body      []byte
	err       error
	took      time.Duration // without connecting
	waited    time.Duration // with it
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

	start := time.Now()
	var connected atomic.Int64 // nanoseconds after start, 0 until then
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(int64(time.Since(start))) }}
	defer func() {
		a.waited = time.Since(start)
		a.took = a.waited - time.Duration(connected.Load())
	}()
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, target.String(), nil)
	if err != nil {
		a.err = err
		return a
	}
	req.Header.Set("Accept", accept)
	resp, err := t.client.Do(req)
	if err != nil {
		a.err = err
		return a
	}
	defer resp.Body.Close()
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAPIBody+1))
	switch {
	case err != nil && timedOut(err):
		a.err = fmt.Errorf("the answer was not whole in time, %d bytes came: %w", len(a.body), err)
	case err != nil:
		a.err = err
	case len(a.body) > maxAPIBody:
		a.err = errors.New("the answer is larger than " + size(maxAPIBody))
	default:
		a.code, a.media = resp.StatusCode, resp.Header.Get("Content-Type")
	}
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

// apiObject is what every JSON answer of an API server has.
type apiObject struct {
	Kind    string `json:"kind"`
	Message string `json:"message"` // of a Status
}

// object reads the answer as JSON; Kind is empty when it is none.
func (a *apiAnswer) object() apiObject {
	var o apiObject
	if err := json.Unmarshal(a.body, &o); err != nil {
		return apiObject{}
	}
	return o
}

// words tells a person what came back: the message of the API server, else
// the beginning of the body.
func (a *apiAnswer) words() string {
	if o := a.object(); o.Message != "" {
		return clip(o.Message, 160)
	}
	return clip(string(a.body[:min(len(a.body), 400)]), 80)
}
