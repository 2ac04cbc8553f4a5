package collectors

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

const dockerTimeout = 20 * time.Second

// newDockerCheck is the check of one daemon, whose canary runs each time.
func newDockerCheck(t *testing.T, socket, mode, binary string) *dockerCheck {
	t.Helper()
	s := defaultDockerSettings()
	s.Socket, s.Canary.Mode, s.Canary.Interval = socket, mode, 10*time.Second
	c := newCheck(t, s).(*dockerCheck)
	c.canary.settings.Interval = 0
	if binary != "" {
		c.binary = func() (string, error) { return binary, nil }
	}
	return c
}

// staticBinary is a program that ends at once and well, as the agent does
// when it is called with "canary". Each content is an image of its own.
func staticBinary(t *testing.T, more string) string {
	t.Helper()
	program, err := real.StaticProgram(t.Context())
	must(t, err)
	path := filepath.Join(t.TempDir(), "grapevine")
	must(t, os.WriteFile(path, append(program[:len(program):len(program)], more...), 0o755))
	return path
}

func TestDockerRunning(t *testing.T) {
	t.Parallel()
	daemon := real.NeedDockerd(t, real.DockerdOptions{})

	t.Run("without an image the canary is off, and that is fine", func(t *testing.T) {
		s := run(t, newDockerCheck(t, daemon.Socket, "auto", ""), dockerTimeout)
		s.expect(t, "docker", health.OK, "the canary is off: no image")
		if s.value(t, dockerEnabled()) != 0 || s.value(t, &dockerUp) != 1 {
			t.Error("up, and no canary")
		}
		if s.has(&dockerCanaryMetrics.Success) {
			t.Error("a canary that never ran has no success")
		}
	})

	check := newDockerCheck(t, daemon.Socket, "on", staticBinary(t, "1"))
	t.Run("canary", func(t *testing.T) {
		s := run(t, check, dockerTimeout)
		s.expect(t, "docker", health.OK)
		if s.value(t, dockerEnabled()) != 1 || s.value(t, &dockerCanaryMetrics.Success) != 1 {
			t.Error("the canary is not well")
		}
		for _, step := range dockerSteps {
			if s.value(t, &dockerCanaryMetrics.StepSuccess, step) != 1 {
				t.Errorf("step %s failed", step)
			}
			took := s.value(t, &dockerCanaryMetrics.StepDuration, step)
			if took <= 0 {
				t.Errorf("step %s took no time", step)
			}
			t.Logf("%-8s %.3f s", step, took)
		}
		expectNoContainers(t, daemon)
		if s.value(t, &dockerSuccess, "info") != 1 {
			t.Error("info")
		}
	})

	t.Run("the image is loaded once, and replaced by the next version's", func(t *testing.T) {
		first := images(t, daemon)
		run(t, check, dockerTimeout)
		if again := images(t, daemon); again != first {
			t.Errorf("images %q, then %q", first, again)
		}
		s := run(t, newDockerCheck(t, daemon.Socket, "on", staticBinary(t, "2")), dockerTimeout)
		s.expect(t, "docker", health.OK)
		second := images(t, daemon)
		if second == first || strings.Count(second, "\n") != 1 {
			t.Errorf("images %q, then %q", first, second)
		}
		s = run(t, newDockerCheck(t, daemon.Socket, "auto", ""), dockerTimeout)
		s.expect(t, "docker", health.OK)
		if s.value(t, dockerEnabled()) != 1 {
			t.Error("auto does not use the image that is there")
		}
	})

	t.Run("leftovers are removed, and nothing else", func(t *testing.T) {
		image := strings.TrimSpace(images(t, daemon))
		for _, args := range [][]string{
			{"create", "--label=grapevine.canary=test", image},
			{"run", "--detach", "--network=none", "--label=grapevine.canary=test", "--entrypoint=/grapevine", image, "sleep"},
			{"create", "--name=other", image}, // inherits the image's labels
		} {
			if _, err := daemon.Docker(t.Context(), args...); err != nil {
				t.Fatal(err)
			}
		}
		s := run(t, newDockerCheck(t, daemon.Socket, "auto", ""), dockerTimeout)
		s.expect(t, "docker", health.OK)
		if got := s.value(t, &dockerCanaryMetrics.Leftovers); got != 2 {
			t.Errorf("%v leftovers removed", got)
		}
		out, err := daemon.Docker(t.Context(), "ps", "--all", "--format={{.Names}}")
		if err != nil || strings.TrimSpace(out) != "other" {
			t.Errorf("containers left: %q, %v", out, err)
		}
		_, err = daemon.Docker(t.Context(), "rm", "other")
		must(t, err)
	})

	t.Run("hung is told apart from dead", func(t *testing.T) {
		check := newDockerCheck(t, daemon.Socket, "auto", "")
		fresh := newDockerCheck(t, daemon.Socket, "auto", "")
		run(t, check, dockerTimeout).expect(t, "docker", health.OK)
		must(t, daemon.Pause())
		for _, c := range []*dockerCheck{check, fresh} { // with a connection and without
			s := run(t, c, 2*time.Second)
			for s.value(t, &dockerSuccess, "ping") == 1 { // not all of its threads have stopped
				s = run(t, c, 2*time.Second)
			}
			s.expect(t, "docker", health.Critical, "hangs: its socket takes connections, but ping was not answered within", daemon.Socket)
			if s.value(t, &dockerUp) != 0 || s.value(t, &dockerSuccess, "ping") != 0 || s.value(t, &dockerSuccess, "info") != 0 {
				t.Error("up")
			}
		}
		must(t, daemon.Resume())
		until(t, "it is well again", func() bool {
			return run(t, check, dockerTimeout).results["docker"].Status == health.OK
		})
		must(t, daemon.Kill())
		run(t, check, dockerTimeout).expect(t, "docker", health.Critical, "is down: nothing listens at its socket (connection refused)")
		must(t, os.Remove(daemon.Socket))
		s := run(t, check, dockerTimeout)
		s.expect(t, "docker", health.Critical, "is down: its socket is gone")
		if s.value(t, &dockerUp) != 0 || s.value(t, &dockerCanaryMetrics.Success) != 0 || s.value(t, &dockerCanaryMetrics.StepSuccess, "start") != 0 {
			t.Error("a dead daemon's canary sings")
		}
		must(t, daemon.Start(t.Context()))
		until(t, "it is back", func() bool {
			return run(t, check, dockerTimeout).results["docker"].Status == health.OK
		})
	})
}

// dockerEnabled is the canary's gauge.
func dockerEnabled() *Metric { return &dockerCanaryMetrics.Enabled }

func images(t *testing.T, daemon *real.Dockerd) string {
	t.Helper()
	out, err := daemon.Docker(t.Context(), "images", "--format={{.Repository}}:{{.Tag}}")
	must(t, err)
	return out
}

func expectNoContainers(t *testing.T, daemon *real.Dockerd) {
	t.Helper()
	out, err := daemon.Docker(t.Context(), "ps", "--all", "--quiet")
	if err != nil || out != "" {
		t.Errorf("containers left: %q, %v", out, err)
	}
}

// brittleRuntime is an OCI runtime that fails while a file is there. It
// returns its path and that file's.
func brittleRuntime(t *testing.T, host *real.Host) (runtime, fault string) {
	t.Helper()
	runtime, fault = filepath.Join(host.Dir, "runc"), filepath.Join(host.Dir, "broken")
	script := "#!/bin/sh\nif [ -e " + fault + " ]; then echo 'runc: cannot allocate memory' >&2; exit 1; fi\nexec runc \"$@\"\n"
	must(t, os.WriteFile(runtime, []byte(script), 0o755))
	return runtime, fault
}

func TestDockerBrokenRuntime(t *testing.T) {
	t.Parallel()
	host := real.NeedHost(t, real.HostOptions{})
	runtime, fault := brittleRuntime(t, host)
	daemon := real.NeedDockerd(t, real.DockerdOptions{Host: host, Runtime: runtime})
	check := newDockerCheck(t, daemon.Socket, "on", staticBinary(t, ""))
	run(t, check, dockerTimeout).expect(t, "docker", health.OK)

	must(t, os.WriteFile(fault, nil, 0o600))
	s := run(t, check, dockerTimeout)
	s.expect(t, "docker", health.Critical, `cannot run a container: the step "start" failed after`, "OCI runtime create failed", "did not terminate successfully")
	want := map[string]float64{"prepare": 1, "create": 1, "start": 0, "wait": 0, "remove": 1}
	for step, value := range want {
		if got := s.value(t, &dockerCanaryMetrics.StepSuccess, step); got != value {
			t.Errorf("step %s: success %v", step, got)
		}
	}
	if s.value(t, &dockerCanaryMetrics.Success) != 0 || s.value(t, &dockerUp) != 1 {
		t.Error("the daemon is up, its canary is dead")
	}
	expectNoContainers(t, daemon)

	must(t, os.Remove(fault))
	run(t, check, dockerTimeout) // the second failure in a row would have waited
	until(t, "it runs containers again", func() bool {
		check.canary.next = time.Time{}
		return run(t, check, dockerTimeout).results["docker"].Status == health.OK
	})
}

func TestDockerDiskFull(t *testing.T) {
	t.Parallel()
	host := real.NeedHost(t, real.HostOptions{})
	data := filepath.Join(host.Dir, "docker", "data")
	_, err := host.Run(t.Context(), "/bin/sh", "-ec", "mkdir -p "+data+" && mount -t tmpfs -o size=64m small "+data)
	must(t, err)
	daemon := real.NeedDockerd(t, real.DockerdOptions{Host: host})
	check := newDockerCheck(t, daemon.Socket, "on", staticBinary(t, ""))
	s := run(t, check, dockerTimeout)
	s.expect(t, "docker", health.OK)

	// dd ends with an error once all is full.
	_, _ = host.Run(t.Context(), "dd", "if=/dev/zero", "of="+filepath.Join(data, "filler"), "bs=1M")
	_, _ = host.Run(t.Context(), "dd", "if=/dev/zero", "of="+filepath.Join(data, "filler2"), "bs=512")
	s = run(t, check, dockerTimeout)
	s.expect(t, "docker", health.Critical, "cannot run a container: the step \"create\" failed", "no space left on device")

	_, err = host.Run(t.Context(), "rm", filepath.Join(data, "filler"))
	must(t, err)
	until(t, "it runs containers again", func() bool {
		check.canary.next = time.Time{}
		return run(t, check, dockerTimeout).results["docker"].Status == health.OK
	})
	expectNoContainers(t, daemon)
}

func TestDockerDrivers(t *testing.T) {
	t.Parallel()
	daemon := real.NeedDockerd(t, real.DockerdOptions{ExtraArgs: []string{"--storage-driver=vfs"}})
	check := newDockerCheck(t, daemon.Socket, "off", "")
	s := run(t, check, dockerTimeout)
	s.expect(t, "docker", health.Warning, "storage driver vfs, which copies every layer whole")
	if s.has(&dockerMismatch) {
		t.Error("no kubelet uses this Docker")
	}
	check.kubelet = kubeletRuntime{known: true, socket: "/run/cri-dockerd.sock", cgroupDriver: "systemd"}
	s = run(t, check, dockerTimeout)
	s.expect(t, "docker", health.Warning, "has the cgroup driver cgroupfs, but the kubelet is configured for systemd")
	if s.value(t, &dockerMismatch) != 1 || s.value(t, &dockerWarnings) < 0 {
		t.Error("mismatch")
	}
}
