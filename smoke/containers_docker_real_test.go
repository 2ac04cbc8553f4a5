package smoke

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// fewPools leaves Docker addresses for sixteen networks.
const fewPools = "--default-address-pool=base=10.98.0.0/24,size=28"

func dockerContainers(t *testing.T) {
	d := needDocker(t, fewPools)
	s := containerSettings()

	t.Run("well, with nothing prepared", func(t *testing.T) {
		r := d.run(t, s, faults{StepRuntime: func() {
			for _, kind := range []string{"container", "network", "image"} {
				if left := d.left(t, untilLabel); !strings.Contains(left, kind) {
					t.Errorf("no %s is found while the run is under way: %s", kind, left)
				}
			}
		}}, nil)
		expectGreen(t, r)
		d.expectNothingLeft(t, r)
	})

	// Loading it each time would take most of the time of what follows.
	d.docker(t, "load", "--input="+imageTar(t))

	t.Run("what is sent one way is lost", func(t *testing.T) {
		r := d.run(t, s, faults{StepExec: func() {
			d.netns(t, "b", "iptables", "--append", "INPUT", "--in-interface", "eth0", "--jump", "DROP")
		}}, hasty{StepExec: talkLost})
		expectRed(t, r, StepOverTCP, "from container a to b: ", "does not answer over TCP", "what a sends does not arrive at b",
			"from container b to a: ", "what b sends arrives at a, and the answers do not come back")
		d.expectNothingLeft(t, r)
	})

	t.Run("UDP is lost", func(t *testing.T) {
		r := d.run(t, s, faults{StepExec: func() {
			d.netns(t, "a", "iptables", "--append", "INPUT", "--in-interface", "eth0", "--protocol", "udp", "--jump", "DROP")
		}}, hasty{StepExec: talkLost})
		expectRed(t, r, StepOverUDP, "does not answer over UDP")
		d.expectNothingLeft(t, r)
	})

	t.Run("names are not answered", func(t *testing.T) {
		r := d.run(t, s, faults{StepExec: func() {
			d.netns(t, "b", "iptables", "--insert", "OUTPUT", "--destination", "127.0.0.11", "--jump", "DROP")
		}}, hasty{StepExec: talkLost})
		expectRed(t, r, StepName, "from container b", "the name grapevine-smoke-a. is not resolved by 127.0.0.11")
		d.expectNothingLeft(t, r)
	})

	t.Run("the bridge is down", func(t *testing.T) {
		r := d.run(t, s, faults{StepExec: func() {
			id := strings.TrimSpace(d.docker(t, "network", "ls", "--quiet", "--filter=label="+untilLabel))
			_, err := d.host.Run(t.Context(), "ip", "link", "set", "br-"+id, "down")
			must(t, err)
		}}, hasty{StepExec: talkLost})
		expectRed(t, r, StepOverTCP, "from container a to b: ", "from container b to a: ")
		d.expectNothingLeft(t, r)
	})

	t.Run("no network can be made", func(t *testing.T) {
		names := strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16")
		for _, name := range names {
			d.docker(t, "network", "create", name)
		}
		r := d.run(t, s, nil, nil)
		expectRed(t, r, StepNetwork, "cannot make a network: ", "could not find an available, non-overlapping IPv4 address pool")
		expectUnknown(t, r, StepCreate, StepStart, StepRuntime, StepExec, StepOverTCP, StepOverUDP, StepName)
		d.docker(t, append([]string{"network", "rm"}, names...)...)
		d.expectNothingLeft(t, r)
	})

	t.Run("no container can be started", func(t *testing.T) {
		must(t, os.WriteFile(d.brittle, nil, 0o600))
		r := d.run(t, s, nil, nil)
		expectRed(t, r, StepStart, "cannot start a container: ", "did not terminate successfully")
		must(t, os.Remove(d.brittle))
		d.expectNothingLeft(t, r)
	})

	t.Run("an image that is there is used and stays", func(t *testing.T) {
		without := *d
		without.Binary = ""
		expectGreen(t, without.run(t, s, nil, nil))
		if out := d.docker(t, "images", "--format={{.Repository}}:{{.Tag}}"); strings.TrimSpace(out) != strings.TrimPrefix(DefaultImage, "docker.io/") {
			t.Errorf("images: %s", out)
		}
		missing := s
		missing.Image = "docker.io/grapevine/other:1"
		expectRed(t, d.run(t, missing, nil, nil), StepImage, "Docker has no image grapevine/other:1; load it: grapevine smoke-image --name=grapevine/other:1 | docker load")
		d.docker(t, "image", "rm", DefaultImage)
	})

	t.Run("the binary needs libraries", func(t *testing.T) {
		other := *d
		other.Binary = "/usr/bin/env"
		r := other.run(t, s, nil, nil)
		expectRed(t, r, StepImage, "Docker has no image grapevine/smoke:1, and can be given none of "+other.Binary+", which needs libraries")
		d.expectNothingLeft(t, r)
	})

	t.Run("the image is of another program", func(t *testing.T) {
		other := *d
		other.Binary = endingBinary(t)
		r := other.run(t, s, nil, nil)
		expectRed(t, r, StepRuntime, "container a has ended with exit code 0")
		d.expectNothingLeft(t, r)
	})

	t.Run("the daemon hangs", func(t *testing.T) {
		r := d.run(t, leaving(s), faults{StepCreate: func() { must(t, d.daemon.Pause()) }}, hasty{StepCreate: noAnswer})
		expectRed(t, r, StepStart, "hangs: its socket takes connections, but start was not answered within", "it was to start a container")
		expectUnknown(t, r, StepDelete)
		must(t, d.daemon.Resume())
	})

	t.Run("the daemon hangs while it is to clear up", func(t *testing.T) {
		r := d.run(t, leaving(s), faults{StepName: func() { must(t, d.daemon.Pause()) }}, hasty{StepName: noAnswer})
		expectRed(t, r, StepDelete, "hangs")
		must(t, d.daemon.Resume())
	})

	t.Run("the daemon is killed", func(t *testing.T) {
		r := d.run(t, leaving(s), faults{StepCreate: func() { must(t, d.daemon.Kill()) }}, nil)
		expectRed(t, r, StepStart, "is down: nothing listens at its socket (connection refused)", "it was to start a container")
		expectUnknown(t, r, StepDelete)
		r = d.run(t, s, nil, nil)
		expectRed(t, r, StepAnswer, "is down: nothing listens at its socket")
		must(t, d.start(t.Context()))
	})

	t.Run("the runner is interrupted", func(t *testing.T) {
		d.interrupt(t, StepCreate)
		d.interrupt(t, StepRuntime)
	})

	t.Run("the runner is killed", func(t *testing.T) {
		d.expectEnded(t, d.kill(t, StepAnswer, StepImage, StepNetwork, StepCreate, StepStart, StepRuntime, StepExec, StepName))
		d.expectSwept(t)
	})
}

// endingBinary is a program that ends at once and well, whatever it is told.
func endingBinary(t *testing.T) string {
	t.Helper()
	program, err := real.StaticProgram(t.Context())
	must(t, err)
	path := filepath.Join(t.TempDir(), "grapevine")
	must(t, os.WriteFile(path, program, 0o755))
	return path
}

func TestNoRuntime(t *testing.T) {
	t.Parallel()
	paths := collectors.Paths{Proc: "/proc", Sys: "/sys", Root: t.TempDir()}
	for _, runtime := range []string{Docker, CRI} {
		_, err := RunContainers(t.Context(), Default(), ContainerOptions{Runtime: runtime, Paths: paths})
		if err == nil || !strings.Contains(err.Error(), "not on this node: no socket /run/") {
			t.Errorf("%s: %v", runtime, err)
		}
	}
	if _, err := RunContainers(t.Context(), Default(), ContainerOptions{Runtime: "podman", Paths: paths}); err == nil {
		t.Error("podman")
	}
}
