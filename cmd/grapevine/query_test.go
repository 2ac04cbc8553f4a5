package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/agent"
	"github.com/grapevine-mesh/grapevine/internal/web"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// answering is an agent that answers v on path.
func answering(t *testing.T, path string, v any) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(v)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func seconds(s float64) *float64 { return &s }

func clusterStatus(worst health.Status) web.Status {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return web.Status{
		Node: "n1", Version: "1.0.0", Time: now, Status: worst,
		Partition: web.Partition{
			Known: 2, Up: 1, Reached: []string{"n1"}, OtherSide: []string{"n2", "n3"},
			Findings: []web.Finding{{
				Kind: "split", Status: health.Critical, Reason: "n1 is cut off", Nodes: []string{"n1", "n2", "n3"}, Since: now.Add(-42 * time.Second),
			}},
		},
		Problems: []web.Problem{{
			Node: "n2", Check: "disk", Subject: "/var/lib/etcd", Status: worst, Reason: "fsync took 2 s",
			Since: now.Add(-90 * time.Minute),
		}},
		Nodes: []web.NodeStatus{
			{Node: "n1", Status: health.OK, Up: true, Member: mesh.MemberAlive, AgeSeconds: seconds(2), Version: "1.0.0"},
			{Node: "n2", Status: worst, Member: mesh.MemberFailed, Reason: "no data for 25s", AgeSeconds: seconds(25), Version: "1.0.0"},
			{Node: "n3", Status: health.Unknown, Member: mesh.MemberAlive},
		},
	}
}

func TestStatusExitCodes(t *testing.T) {
	for code, status := range []health.Status{health.OK, health.Warning, health.Critical, health.Unknown} {
		for _, output := range []string{"text", "json"} {
			got, stdout, stderr := execute(t, "status", "--url", answering(t, web.StatusPath, clusterStatus(status)), "-o", output)
			if got != code || stdout == "" || stderr != "" {
				t.Errorf("%v as %s: exit code %d, stdout %q, stderr %q; want %d, something and nothing", status, output, got, stdout, stderr, code)
			}
		}
	}
}

func TestStatusText(t *testing.T) {
	_, stdout, _ := execute(t, "status", "--url", answering(t, web.StatusPath, clusterStatus(health.Critical)))
	want := `CRITICAL: 1 of 2 nodes heard, as seen from n1
CRITICAL: n1 is cut off (for 42s, since 2026-05-01 11:59:18 UTC)

STATUS    NODE  CHECK  SUBJECT        SINCE  REASON
CRITICAL  n2    disk   /var/lib/etcd  1h30m  fsync took 2 s

NODE  STATUS    UP   GOSSIP   AGE    VERSION
n1    OK        yes  alive    2s     1.0.0
n2    CRITICAL  no   failed   25s    1.0.0    no data for 25s
n3    UNKNOWN   no   alive    never
`
	// Trailing blanks of the last column are nobody's concern.
	if diff := cmp.Diff(strings.Fields(want), strings.Fields(stdout)); diff != "" {
		t.Errorf("printed\n%s(-want +got):\n%s", stdout, diff)
	}
}

func TestStatusJSON(t *testing.T) {
	want := clusterStatus(health.Warning)
	_, stdout, _ := execute(t, "status", "--url", answering(t, web.StatusPath, want)+"/", "--output=json")
	var got web.Status
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMembers(t *testing.T) {
	url := answering(t, web.MembersPath, web.Members{Node: "n1", Members: []web.Member{
		{Name: "n1", State: mesh.MemberAlive, Up: true, Addr: "10.0.0.1:7996", Exchange: "10.0.0.1:7997", Web: "10.0.0.1:9797", Version: "1.0.0", AgeSeconds: seconds(1), Epoch: 3},
	}})
	code, stdout, _ := execute(t, "members", "--url", url)
	want := "NODE UP GOSSIP AGE ADDRESS EXCHANGE WEB VERSION EPOCH n1 yes alive 1s 10.0.0.1:7996 10.0.0.1:7997 10.0.0.1:9797 1.0.0 3"
	if got := strings.Join(strings.Fields(stdout), " "); code != 0 || got != want {
		t.Errorf("exit code %d, printed %s; want 0 and %s", code, got, want)
	}
}

// Who cannot be asked is unknown: exit code 3 and one line that helps, in no
// more than two seconds.
func TestNoAnswer(t *testing.T) {
	release := make(chan struct{})
	handlers := map[string]http.HandlerFunc{
		"hangs":            func(http.ResponseWriter, *http.Request) { <-release },
		"hangs in between": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{"); w.(http.Flusher).Flush(); <-release },
		"is no agent":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"wants a password": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"is broken":        func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
		"sends elsewhere":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
	}
	urls := map[string]string{"is not there": "http://127.0.0.1:1", "has no address": "http://nobody.invalid:9797"}
	for name, h := range handlers {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		urls[name] = s.URL
	}
	t.Cleanup(func() { close(release) }) // first, so that the servers can close
	for name, url := range urls {
		for _, output := range []string{"text", "json"} {
			t.Run(name+" "+output, func(t *testing.T) {
				t.Parallel()
				start := time.Now()
				code, stdout, stderr := execute(t, "status", "--url", url, "-o", output)
				// Two seconds by the promise; a busy machine gets more.
				if took := time.Since(start); patience >= 2*time.Second || took > 20*time.Second {
					t.Errorf("took %v", took)
				}
				if code != int(health.Unknown) || stderr != "" {
					t.Errorf("exit code %d, stderr %q", code, stderr)
				}
				if output == "json" {
					var answer struct{ Status, Reason string }
					if err := json.Unmarshal([]byte(stdout), &answer); err != nil || answer.Status != "unknown" || answer.Reason == "" {
						t.Errorf("printed %s (%v)", stdout, err)
					}
					return
				}
				if strings.Count(stdout, "\n") != 1 || !strings.Contains(stdout, url) || !strings.HasPrefix(stdout, "UNKNOWN") {
					t.Errorf("printed %q, want one line that names %s", stdout, url)
				}
			})
		}
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	config := func(extra string) string {
		return "--config.file=" + file(t, "grapevine.yml", "checks:\n  disk:\n    paths: ["+dir+"]\n    thresholds: {fsync: {warning: 0s, critical: 0s}, usage: "+extra+", inodes: {warning: 0, critical: 0}}\n")
	}
	storage := "--storage.path=" + filepath.Join(dir, "absent")

	code, stdout, stderr := execute(t, "check", "disk", storage, config("{warning: 0, critical: 0}"), "-o", "json")
	var run checkRun
	if err := json.Unmarshal([]byte(stdout), &run); err != nil || code != 0 || stderr != "" {
		t.Fatalf("exit code %d, stderr %q, stdout %q (%v)", code, stderr, stdout, err)
	}
	if run.Status != health.OK || len(run.Results) == 0 || run.Results[0].Check != "disk" || len(run.Off) != 0 {
		t.Errorf("printed %s", stdout)
	}

	// Some of every file system is used.
	code, stdout, _ = execute(t, "check", "disk", storage, config("{warning: 1.0e-12, critical: 2.0e-12}"))
	if code != int(health.Critical) || !strings.HasPrefix(stdout, "CRITICAL") {
		t.Errorf("exit code %d, printed\n%s", code, stdout)
	}
}

func TestCheckExplain(t *testing.T) {
	code, stdout, stderr := execute(t, "check", "--explain", "etcd", "disk")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	for _, want := range []string{"etcd", "measures ", "matters ", "to do ", "iostat", "grapevine_etcd_up", "grapevine_disk_fsync_success"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
	if _, stdout, _ = execute(t, "check", "--explain", "smoke"); !strings.Contains(stdout, "every 5m0s, on one node for the cluster") {
		t.Errorf("does not say how often runs are made:\n%s", stdout)
	}
	_, stdout, _ = execute(t, "check", "--explain", "-o", "json")
	var all []explanation
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || len(all) != len(agent.Specs()) {
		t.Errorf("%d explanations of %d checks (%v)", len(all), len(agent.Specs()), err)
	}
}

// A check asked for by name that has nothing to look at is unknown, not well.
func TestCheckOff(t *testing.T) {
	if _, err := os.Stat("/etc/kubernetes/manifests/etcd.yaml"); err == nil {
		t.Skip("there is an etcd on this node")
	}
	code, stdout, _ := execute(t, "check", "etcd")
	if code != int(health.Unknown) || !strings.Contains(stdout, "etcd is not on this node") {
		t.Errorf("exit code %d, printed\n%s", code, stdout)
	}
	code, stdout, _ = execute(t, "check", "etcd", "-o", "json")
	var run checkRun
	if err := json.Unmarshal([]byte(stdout), &run); err != nil || code != int(health.Unknown) || len(run.Off) != 1 {
		t.Errorf("exit code %d, printed %s (%v)", code, stdout, err)
	}
}

func TestKeygen(t *testing.T) {
	code, first, _ := execute(t, "keygen")
	_, second, _ := execute(t, "keygen", "gossip")
	if code != 0 || len(first) != 45 || first == second {
		t.Errorf("exit code %d, keys %q and %q", code, first, second)
	}
	dir := filepath.Join(t.TempDir(), "pki")
	for _, args := range [][]string{{"keygen", "ca", "--dir", dir}, {"keygen", "cert", "--dir", dir, "--node", "n1", "--host", "10.0.0.1", "--host", "n1.example"}} {
		if code, _, stderr := execute(t, args...); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, stderr)
		}
	}
	for _, name := range []string{"ca.key", "n1.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"help"}, {"agent", "--help"}, {"--version"}, {"version"}} {
		code, stdout, stderr := execute(t, args...)
		if code != 0 || stdout == "" || stderr != "" || strings.Count(stdout, "usage:") > 1 {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}
