package main

import (
	"encoding/json"
	"encoding/xml"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/smoke"
)

// runtimeSocket is a socket at which handle takes connections; nil: nobody
// does, and as many wait as fit.
func runtimeSocket(t *testing.T, handle func(net.Conn)) (path string, l *net.UnixListener) {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "s.sock")
	if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	t.Cleanup(func() { _ = l.Close() })
	if handle != nil {
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				handle(c)
			}
		}()
	}
	return path, l
}

// A container runtime that is down, hangs or is another program costs one
// verdict, in a few seconds.
func TestSmokeContainersWithoutRuntime(t *testing.T) {
	t.Parallel()
	hangs, _ := runtimeSocket(t, nil)
	down, l := runtimeSocket(t, nil)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	other, _ := runtimeSocket(t, func(c net.Conn) {
		_, _ = c.Write([]byte("220 mail.example.org ESMTP\r\n"))
		_ = c.Close()
	})
	for name, c := range map[string]struct{ socket, want string }{
		"hangs":      {hangs, "hangs: its socket takes connections, but its version was not answered within"},
		"is down":    {down, "is down: nothing listens at its socket (connection refused)"},
		"is gone":    {filepath.Join(filepath.Dir(down), "none.sock"), "is down: its socket is gone"},
		"is another": {other, "answers its version wrongly: "},
	} {
		for _, runtime := range []string{smoke.Docker, smoke.CRI} {
			t.Run(runtime+" "+name, func(t *testing.T) {
				t.Parallel()
				args := []string{"smoke", "--runtime=" + runtime, "--runtime.socket=unix://" + c.socket}
				began := time.Now()
				code, stdout, stderr := execute(t, args...)
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("took %v", took)
				}
				first, _, _ := strings.Cut(stdout, "\n")
				if code != int(health.Critical) || !strings.HasPrefix(first, "CRITICAL - answer: the ") || !strings.Contains(first, c.want) || !strings.Contains(first, c.socket) {
					t.Errorf("exit code %d, printed %s", code, stdout)
				}
				if strings.Count(stderr, "\n") != 1 || strings.Count(stdout, "CRITICAL") != 2 {
					t.Errorf("told %s, printed %s", stderr, stdout)
				}
				code, stdout, _ = execute(t, append(args, "-o", "json")...)
				var r smoke.Report
				if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != int(health.Critical) || r.Server != c.socket || len(r.Nodes) != 1 {
					t.Errorf("as JSON: exit code %d, %v: %s", code, err, stdout)
				}
				for _, step := range r.Steps[1:] {
					if step.Status != health.Unknown || step.Reason != "not reached" {
						t.Errorf("%+v", step)
					}
				}
				code, stdout, _ = execute(t, append(args, "-o", "junit")...)
				var suite junitSuite
				if err := xml.Unmarshal([]byte(stdout), &suite); err != nil || code != int(health.Critical) || suite.Failures != 1 || suite.Skipped != len(r.Steps)-1 {
					t.Errorf("as JUnit: exit code %d, %v: %s", code, err, stdout)
				}
			})
		}
	}
}

// Who has nobody to ask is told where it was looked, and of the other way.
func TestSmokeWithNobodyToAsk(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("DOCKER_HOST", "")
	for want, args := range map[string][]string{
		"no socket /run/docker.sock":                        {"--runtime=docker"},
		"no socket /run/":                                   {"--runtime=cri"},
		"grapevine smoke --runtime=docker or --runtime=cri": nil,
	} {
		for _, output := range []string{"text", "json", "junit"} {
			code, stdout, stderr := execute(t, append([]string{"smoke", "--path.rootfs=" + t.TempDir(), "-o", output}, args...)...)
			if code != int(health.Unknown) || !strings.Contains(stdout, want) || stderr != "" {
				t.Errorf("%v as %s: exit code %d, printed %s%s", args, output, code, stdout, stderr)
			}
		}
	}
	_, stdout, _ := execute(t, "smoke", kubeconfig(t, "http://127.0.0.1:1"))
	if !strings.Contains(stdout, "\n"+smoke.WithoutCluster+"\n") {
		t.Errorf("an API server that does not answer: %s", stdout)
	}
}

func TestSmokeContainersBadInput(t *testing.T) {
	for want, args := range map[string][]string{
		`--runtime: "podman"`: {"--runtime=podman"},
		"--runtime.socket: \"docker.sock\" is not an absolute path": {"--runtime=docker", "--runtime.socket=docker.sock"},
		"--runtime.socket goes with ":                               {"--runtime.socket=/run/docker.sock"},
		"--node is for pods":                                        {"--runtime=cri", "--node=n1"},
		"--runtime=cri goes with --image, ":                         {"--runtime=cri", "--no-dns"},
		"--runtime=docker goes with --image, ":                      {"--runtime=docker", "--kubeconfig=/etc/kubernetes/admin.conf"},
		"patience: ":                                                {"--runtime=docker", "--patience=1s"},
	} {
		code, stdout, stderr := execute(t, append([]string{"smoke"}, args...)...)
		if code != badInput || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "grapevine: "+want) {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}
