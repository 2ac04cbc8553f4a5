package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// TestDemo runs the demo as a visitor does: start it, scrape any agent, press
// Ctrl-C, look whether anything is left.
func TestDemo(t *testing.T) {
	real.Binary(t, "etcd")
	real.Binary(t, "grapevine")
	bin, tmp := filepath.Join(t.TempDir(), "demo"), t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	demo := exec.CommandContext(ctx, bin, "--agents=2", "--etcd-members=1")
	// A TMPDIR of its own shows what is left there, and marks its processes.
	demo.Env = append(os.Environ(), "TMPDIR="+tmp)
	stdout, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	demo.Stderr = &stderr
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = demo.Process.Kill() }) // its children die with it

	shown, urls := readUntil(stdout, "Ctrl-C ends it all")
	if len(urls) != 2 {
		_ = demo.Wait()
		t.Fatalf("found the agents %v in:\n%s\n%s", urls, shown, stderr.String())
	}
	for _, url := range urls {
		text := get(t, url)
		for _, want := range []string{`grapevine_node_up{node="node-1"} 1`, `grapevine_node_up{node="node-2"} 1`} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %s", url, want)
			}
		}
	}
	if left := processesOf(t, tmp); len(left) != 3 {
		t.Errorf("the demo runs %d processes, want an etcd and two agents: %v", len(left), left)
	}

	if err := demo.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(stdout)
	if err := demo.Wait(); err != nil {
		t.Errorf("%v\n%s\n%s", err, rest, stderr.String())
	}
	if left := processesOf(t, tmp); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
}

// TestInterruptedStart breaks the demo off before it has told anything.
func TestInterruptedStart(t *testing.T) {
	real.Binary(t, "etcd")
	real.Binary(t, "grapevine")
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	if err := run(ctx, options{agents: 3, members: 3}, io.Discard); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
	if left := processesOf(t, tmp); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

var metricsURL = regexp.MustCompile(`pid \d+ +(http://\S+/metrics)`)

// readUntil reads lines until one begins with last, and returns them with the
// agents' URLs among them.
func readUntil(r io.Reader, last string) (shown string, urls []string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		shown += lines.Text() + "\n"
		if m := metricsURL.FindStringSubmatch(lines.Text()); m != nil {
			urls = append(urls, m[1])
		}
		if strings.HasPrefix(lines.Text(), last) {
			break
		}
	}
	return shown, urls
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s, %v", url, resp.Status, err)
	}
	return string(body)
}

// processesOf lists the command lines of live processes that name dir.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		line, err := os.ReadFile(e)
		if err == nil && strings.Contains(string(line), dir) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
