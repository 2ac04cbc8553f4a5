package collectors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/grapevine-mesh/grapevine/health"
)

// serveGRPC serves gRPC at a socket until the test ends.
func serveGRPC(t *testing.T, register func(*grpc.Server)) string {
	t.Helper()
	path := filepath.Join(socketDir(t), "cri.sock")
	l, err := net.Listen("unix", path)
	must(t, err)
	server := grpc.NewServer()
	register(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return path
}

// oddRuntime answers as it is told.
type oddRuntime struct {
	criv1.UnimplementedRuntimeServiceServer
	criv1.UnimplementedImageServiceServer
	state *criv1.RuntimeStatus
}

func (o oddRuntime) Version(context.Context, *criv1.VersionRequest) (*criv1.VersionResponse, error) {
	return &criv1.VersionResponse{RuntimeName: "odd\n" + strings.Repeat("x", 1000), RuntimeVersion: "1"}, nil
}

func (o oddRuntime) Status(context.Context, *criv1.StatusRequest) (*criv1.StatusResponse, error) {
	return &criv1.StatusResponse{Status: o.state}, nil
}

func TestCRIOdd(t *testing.T) {
	t.Parallel()
	many := []*criv1.RuntimeCondition{{Type: criv1.RuntimeReady, Status: true}, {Type: criv1.NetworkReady, Status: true}}
	for i := range 1000 {
		many = append(many, &criv1.RuntimeCondition{Type: fmt.Sprint("Odd", i), Message: strings.Repeat("no ", 1000)})
	}
	for name, test := range map[string]struct {
		state  *criv1.RuntimeStatus
		status health.Status
		words  string
	}{
		"says nothing": {nil, health.Critical, "does not tell whether it is ready: its status lacks RuntimeReady"},
		"not ready": {&criv1.RuntimeStatus{Conditions: []*criv1.RuntimeCondition{
			{Type: criv1.RuntimeReady, Reason: "Shutdown", Message: strings.Repeat("long\n", 1000)}, {Type: criv1.NetworkReady, Status: true},
		}}, health.Critical, "is not ready to run containers: RuntimeReady is false: Shutdown: long"},
		"many conditions of its own": {&criv1.RuntimeStatus{Conditions: many}, health.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			odd := oddRuntime{state: test.state}
			socket := serveGRPC(t, func(s *grpc.Server) {
				criv1.RegisterRuntimeServiceServer(s, odd)
				criv1.RegisterImageServiceServer(s, odd)
			})
			s := run(t, newCRICheck(t, socket, "off"), criTimeout)
			s.expect(t, socket, test.status, test.words)
			if s.value(t, &criUp, socket) != 1 || len(s.samples) > 40 {
				t.Errorf("%d samples", len(s.samples))
			}
		})
	}
}

func TestCRILies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		socket func(t *testing.T) string
		words  string
	}{
		"no CRI": {func(t *testing.T) string { return serveGRPC(t, func(*grpc.Server) {}) },
			"answers, but has no CRI of version v1: the plugin is switched off"},
		"HTML": {func(t *testing.T) string {
			return serveSocket(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") })
		}, "answers version wrongly"},
		"silent": {func(t *testing.T) string { return serveRaw(t, nil) },
			"hangs: its socket takes connections, but version was not answered within"},
		"drip":    {func(t *testing.T) string { return serveRaw(t, []byte("\x00")) }, "answers version wrongly"},
		"endless": {func(t *testing.T) string { return serveRaw(t, make([]byte, 1<<20)) }, "answers version wrongly"},
		"gone":    {func(t *testing.T) string { return filepath.Join(socketDir(t), "cri.sock") }, "is down: its socket is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := test.socket(t)
			s := run(t, newCRICheck(t, socket, "on"), 3*time.Second)
			s.expect(t, socket, health.Critical, test.words)
			if s.value(t, &criSuccess, socket, "status") != 0 || s.value(t, &criCondition, socket, criv1.RuntimeReady) != 0 {
				t.Error("it is well")
			}
		})
	}
}

// serveRaw takes connections and writes chunk to them ten times a second.
func serveRaw(t *testing.T, chunk []byte) string {
	t.Helper()
	path := filepath.Join(socketDir(t), "cri.sock")
	l, err := net.Listen("unix", path)
	must(t, err)
	var serving parallel
	serving.run(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.run(func() {
				defer func() { _ = conn.Close() }()
				for {
					select {
					case <-t.Context().Done():
						return
					case <-time.After(100 * time.Millisecond):
					}
					if _, err := conn.Write(chunk); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.wait()
	})
	return path
}

func TestCRIDetection(t *testing.T) {
	t.Parallel()
	root := socketDir(t)
	find := func() string {
		t.Helper()
		c, err := defaultCRISettings().New(envAt(root))
		if err != nil {
			if !errors.Is(err, ErrAbsent) {
				t.Fatal(err)
			}
			return "absent"
		}
		closeAtEnd(t, c)
		var found []string
		for _, r := range c.(*criCheck).runtimes {
			found = append(found, r.path)
		}
		return strings.Join(found, " ")
	}
	listen := func(path string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o700))
		l, err := net.Listen("unix", filepath.Join(root, path))
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
	}
	expect := func(want string) {
		t.Helper()
		if got := find(); got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
	expect("absent")
	listen("/run/containerd/containerd.sock")
	expect("/run/containerd/containerd.sock")
	listen("/run/crio/crio.sock")
	expect("/run/containerd/containerd.sock /run/crio/crio.sock")
	listen("/run/docker.sock") // whose containerd that is, then
	expect("/run/crio/crio.sock")
	must(t, os.MkdirAll(filepath.Join(root, "var/lib/kubelet"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, kubeletConfigPlaces[0]), []byte("containerRuntimeEndpoint: unix:///run/own.sock\n"), 0o600))
	expect("/run/own.sock") // there or not
}

func TestParseCRIConfig(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]CRIConfig{
		"": {}, "null": {}, "[]": {}, "{": {},
		`{"sandboxImage":"pause:3"}`: {sandboxImage: "pause:3"}, // CRI-O
		`{"containerd":{"defaultRuntimeName":"runc","runtimes":{"runc":{"options":{"SystemdCgroup":true}},"kata":{"options":null}}},"sandboxImage":"p"}`: {"p", true},
		`{"containerd":{"defaultRuntimeName":"kata","runtimes":{"runc":{"options":{"SystemdCgroup":true}},"kata":{"options":null}}}}`:                    {},
	} {
		if got := parseCRIConfig(text); got != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestWithoutTag(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"a/b:1": "a/b", "host:5000/a": "host:5000/a", "host:5000/a:1": "host:5000/a", "a": "a"} {
		if got := withoutTag(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestCRISettings(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*criSettings){
		"sockets: ":                func(s *criSettings) { s.Sockets = []string{"cri.sock"} },
		`sockets: "/a" is there`:   func(s *criSettings) { s.Sockets = []string{"/a", "/a"} },
		"canary: mode: ":           func(s *criSettings) { s.Canary.Mode = "" },
		"canary: image: ":          func(s *criSettings) { s.Canary.Image = "" },
		"thresholds: image_usage:": func(s *criSettings) { s.Thresholds.ImageUsage.Critical = 90 },
	} {
		s := defaultCRISettings()
		change(s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestCanaryCause(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("Error response from daemon: failed to create task: %s: /usr/bin/runc: exec format error", strings.Repeat("OCI ", 1000))
	got := RuntimeCause(err, time.Second)
	if len(got) > 240 || !strings.HasPrefix(got, "failed to create task") || !strings.HasSuffix(got, "exec format error") {
		t.Errorf("%q", got)
	}
	if got := RuntimeCause(context.DeadlineExceeded, time.Second); got != "no answer within 1 s" {
		t.Errorf("%q", got)
	}
}

// The schedule of canaries: at once again after the first failure, then each
// minute, and not before the interval when all is well.
func TestCanarySchedule(t *testing.T) {
	t.Parallel()
	runs := 0
	var fail error
	c := &canary{
		settings: canarySettings{Mode: "auto", Interval: time.Hour}, metrics: criCanaryMetrics, labels: []string{"s"},
		steps: []string{"prepare", "go", "clear"},
	}
	cleared := 0
	plan := func(context.Context) ([]canaryStep, int, error) {
		runs++
		return []canaryStep{
			{name: "go", run: func(context.Context) error { return fail }},
			{name: "clear", clears: true, run: func(context.Context) error { cleared++; return nil }},
		}, 0, nil
	}
	step := func(want int, until time.Duration) {
		t.Helper()
		c.run(t.Context(), plan)
		if wait := time.Until(c.next).Round(time.Second); runs != want || max(wait, 0) != until {
			t.Errorf("%d runs, want %d; next in %v, want %v", runs, want, wait, until)
		}
	}
	step(1, time.Hour)
	step(1, time.Hour)
	fail = errors.New("broken")
	c.next = time.Time{}
	step(2, 0)
	step(3, time.Minute)
	step(3, time.Minute)
	if c.last.failed != "go" || cleared != 3 || !c.last.well["clear"] {
		t.Errorf("%+v, cleared %d times", c.last, cleared)
	}
	c.interrupt()
	fail = nil
	step(4, time.Hour)
}
