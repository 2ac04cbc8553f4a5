package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/smoke"
)

func kubeconfig(t *testing.T, url string) string {
	t.Helper()
	return "--kubeconfig=" + file(t, "config", fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: %q}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
`, url))
}

// Without a cluster to ask, smoke says so in a few seconds and exits 3.
func TestSmokeWithoutCluster(t *testing.T) {
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(hangs.Close)
	t.Cleanup(func() { close(release) })
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") }))
	t.Cleanup(other.Close)
	denies := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(denies.Close)
	for name, c := range map[string]struct{ url, want string }{
		"nobody listens":  {"http://127.0.0.1:1", "connection refused"},
		"it hangs":        {hangs.URL, "no answer in time"},
		"has no address":  {"http://nobody.invalid", "does not answer"},
		"is another one":  {other.URL, "does not answer"},
		"wants others":    {denies.URL, "does not accept the credentials (401)"},
		"speaks no HTTPS": {strings.Replace(other.URL, "http:", "https:", 1), "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			code, stdout, _ := execute(t, "smoke", kubeconfig(t, c.url))
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			first, _, _ := strings.Cut(stdout, "\n")
			if code != int(health.Unknown) || !strings.HasPrefix(first, "UNKNOWN - admit: ") || !strings.Contains(first, c.want) {
				t.Errorf("exit code %d, printed %s", code, stdout)
			}
			if name != "nobody listens" { // the others take seconds each
				return
			}
			for _, output := range []string{"json", "junit"} {
				code, stdout, _ := execute(t, "smoke", kubeconfig(t, c.url), "-o", output)
				var r smoke.Report
				err := json.Unmarshal([]byte(stdout), &r)
				if output == "junit" {
					err = xml.Unmarshal([]byte(stdout), new(junitSuite))
				} else if r.Status != health.Unknown || len(r.Steps) == 0 {
					t.Errorf("%+v", r)
				}
				if code != int(health.Unknown) || err != nil {
					t.Errorf("as %s: exit code %d, %v: %s", output, code, err, stdout)
				}
			}
		})
	}
}

func TestSmokeBadInput(t *testing.T) {
	for want, args := range map[string][]string{
		"namespace: ":   {"--namespace=kube-system"},
		"image: ":       {"--image="},
		"pull_policy: ": {"--pull-policy=sometimes"},
		"--patience: ":  {"--patience=soon"},
		"patience: ":    {"--patience=1s"},
		"deadline: ":    {"--deadline=10s"},
		"kubeconfig: ":  {"--kubeconfig=/nonexistent"},
	} {
		code, stdout, stderr := execute(t, append([]string{"smoke"}, args...)...)
		if code != badInput || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "grapevine: "+want) {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

func TestPrintSmoke(t *testing.T) {
	r := smoke.Report{
		Status: health.Critical, Reason: "runtime: on n2 there is no image", Server: "10.0.0.1:6443", Namespace: "ns", Nodes: []string{"n1", "n2"}, Seconds: 12.5,
		Skipped: []smoke.Skipped{{Node: "n3", Reason: "cordoned"}}, Leftovers: []string{"pods/a"}, Swept: []string{"jobs/b"}, Notes: []string{"so it is"},
		Steps: []smoke.Step{
			{Name: "admit", Seconds: 0.25}, {Name: "runtime", Status: health.Critical, Seconds: 8, Reason: "on n2 there is no <image>", Nodes: []string{"n2"}},
			{Name: "dns", Status: health.Unknown, Reason: "not reached"},
		},
	}
	var text, junit bytes.Buffer
	if err := printSmoke(&text, r, "text"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"CRITICAL - runtime: on n2 there is no image\n", "OK        admit    0.25s", "UNKNOWN   dns      0.00s  not reached\n",
		"nodes: n1, n2\n", "not covered: n3, cordoned\n", "so it is\n", "earlier runs had left: jobs/b\n", "left behind in ns: pods/a\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("lacks %q:\n%s", want, text.String())
		}
	}
	if err := printSmoke(&junit, r, "junit"); err != nil {
		t.Fatal(err)
	}
	var suite junitSuite
	if err := xml.Unmarshal(junit.Bytes(), &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Tests != 3 || suite.Failures != 1 || suite.Skipped != 1 || suite.Errors != 0 || suite.Time != "12.500" {
		t.Errorf("%s", junit.String())
	}
	if f := suite.Cases[1].Failure; f == nil || f.Message != "on n2 there is no <image> [n2]" {
		t.Errorf("%s", junit.String())
	}
}

// The image is one that runtimes load: with the binary in it, and the name.
func TestSmokeImage(t *testing.T) {
	code, stdout, stderr := execute(t, "smoke-image", "--name=example.org/own:2")
	if code != 0 || stderr != "example.org/own:2\n" || !strings.Contains(stdout, `"RepoTags":["example.org/own:2"]`) || !strings.Contains(stdout, `"Cmd":["smoke-pod"]`) {
		t.Errorf("exit code %d, stderr %q, %d bytes", code, stderr, len(stdout))
	}
}
