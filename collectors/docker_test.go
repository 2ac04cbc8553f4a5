package collectors

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// serveSocket serves HTTP at a socket until the test ends.
func serveSocket(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	path := filepath.Join(socketDir(t), "docker.sock")
	l, err := net.Listen("unix", path)
	must(t, err)
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return path
}

// socketDir is a directory whose path is short enough for a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "grapevine-socket-") //nolint:usetesting // t.TempDir holds the test's name
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestDockerLies(t *testing.T) {
	t.Parallel()
	pong := func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Api-Version", "1.41")
		if strings.HasSuffix(r.URL.Path, "/version") {
			_, _ = fmt.Fprint(w, `{"Version": "20.10"}`)
		}
		return strings.HasSuffix(r.URL.Path, "/info")
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		words  string
		up     float64
	}{
		"HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, "<html>It works</html>")
		}, "answers version wrongly", 1},
		"error": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<b>no</b>", http.StatusServiceUnavailable)
		}, "answers ping wrongly", 0},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			if pong(w, r) {
				_, _ = fmt.Fprint(w, `{"Name": "`)
				for r.Context().Err() == nil {
					_, _ = w.Write(make([]byte, 1<<16))
				}
			}
		}, "answers info wrongly", 1},
		"drip": {func(w http.ResponseWriter, r *http.Request) {
			for pong(w, r) && r.Context().Err() == nil {
				_, _ = fmt.Fprint(w, " ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		}, "hangs: its socket takes connections, but info was not answered within", 1},
		"reset": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
		}, "answers ping wrongly", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check := newDockerCheck(t, serveSocket(t, test.answer), "auto", "")
			s := run(t, check, 3*time.Second)
			s.expect(t, "docker", health.Critical, test.words)
			if s.value(t, &dockerUp) != test.up {
				t.Errorf("up is not %v", test.up)
			}
		})
	}
}

// A daemon that has hung for long has a full queue, and then connecting fails
// with an error that says nothing of it.
func TestDockerQueueFull(t *testing.T) {
	t.Parallel()
	path := filepath.Join(socketDir(t), "docker.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	defer func() { _ = syscall.Close(fd) }()
	must(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}))
	must(t, syscall.Listen(fd, 1))
	for range 2 {
		conn, err := net.Dial("unix", path)
		must(t, err)
		defer func() { _ = conn.Close() }()
	}
	s := run(t, newDockerCheck(t, path, "auto", ""), 3*time.Second)
	s.expect(t, "docker", health.Critical, "hangs: its socket's queue is full")
}

func TestDockerDetection(t *testing.T) {
	root := socketDir(t)
	t.Setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
	_, err := defaultDockerSettings().New(envAt(root))
	if !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "/run/docker.sock") {
		t.Errorf("nothing there: %v", err)
	}

	// The kubelet lives by it, and it is not there: that is no absence.
	must(t, os.MkdirAll(filepath.Join(root, "var/lib/kubelet"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, kubeletFlagsFile), []byte(
		`KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///var/run/cri-dockerd.sock --pod-infra-container-image=x"`), 0o600))
	c, err := defaultDockerSettings().New(envAt(root))
	must(t, err)
	run(t, c, 5*time.Second).expect(t, "docker", health.Critical, "is down: its socket is gone")
	must(t, os.RemoveAll(filepath.Join(root, "var")))

	must(t, os.Mkdir(filepath.Join(root, "run"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, "run/docker.sock"), nil, 0o600))
	if _, err := defaultDockerSettings().New(envAt(root)); !errors.Is(err, ErrAbsent) {
		t.Errorf("a file is no socket: %v", err)
	}
	must(t, os.Remove(filepath.Join(root, "run/docker.sock")))
	l, err := net.Listen("unix", filepath.Join(root, "run/docker.sock"))
	must(t, err)
	defer func() { _ = l.Close() }()
	c, err = defaultDockerSettings().New(envAt(root))
	must(t, err)
	if got := c.(*dockerCheck).docker.path; got != "/run/docker.sock" {
		t.Errorf("found %s", got)
	}
}

func TestKubeletRuntime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config, flags string
		want          kubeletRuntime
	}{
		"nothing": {},
		"config":  {"cgroupDriver: systemd\ncontainerRuntimeEndpoint: unix:///run/x.sock\n", "", kubeletRuntime{true, "/run/x.sock", "systemd"}},
		"flags win": {"containerRuntimeEndpoint: /run/x.sock", `A="--foo --container-runtime-endpoint unix:///run/y.sock"`,
			kubeletRuntime{true, "/run/y.sock", ""}},
		"not a path": {"containerRuntimeEndpoint: tcp://example:1", "", kubeletRuntime{known: true}},
		"no YAML":    {"\t{", "", kubeletRuntime{}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			must(t, os.MkdirAll(filepath.Join(root, "var/lib/kubelet"), 0o700))
			if test.config != "" {
				must(t, os.WriteFile(filepath.Join(root, kubeletConfigPlaces[0]), []byte(test.config), 0o600))
			}
			if test.flags != "" {
				must(t, os.WriteFile(filepath.Join(root, kubeletFlagsFile), []byte(test.flags), 0o600))
			}
			if got := findKubeletRuntime(envAt(root).Paths); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func TestDockerSettings(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*dockerSettings){
		"socket: ":             func(s *dockerSettings) { s.Socket = "docker.sock" },
		"canary: mode: ":       func(s *dockerSettings) { s.Canary.Mode = "yes" },
		"canary: interval: ":   func(s *dockerSettings) { s.Canary.Interval = time.Second },
		"thresholds: latency:": func(s *dockerSettings) { s.Thresholds.Latency.Warning = -1 },
		"thresholds: canary:":  func(s *dockerSettings) { s.Thresholds.Canary = DurationLimits{Warning: 2, Critical: 1} },
	} {
		s := defaultDockerSettings()
		change(s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Who may not open the socket learns nothing of the daemon, and says so.
func TestSocketForbidden(t *testing.T) {
	t.Parallel()
	err := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	s := &daemonSocket{path: "/run/docker.sock", dialed: true, err: err}
	a := &assessment{about: "it"}
	s.fault(a, "ping", err, time.Second)
	if f := a.findings[0]; f.status != health.Unknown || !strings.Contains(f.text, "may not open its socket (permission denied); run the agent as root") {
		t.Errorf("%+v", f)
	}
}
