package collectors

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/test/real"
)

// manager speaks as systemd's does on the bus. A real systemd is not
// started for a test: in namespaces alone it goes on to tidy the files of the
// machine it runs on.
type manager struct {
	mu     sync.Mutex
	failed []string
}

func (m *manager) fail(units ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = units
}

type unitStatus struct {
	Name, Description, Load, Active, Sub, Followed string
	Path                                           dbus.ObjectPath
	Job                                            uint32
	JobType                                        string
	JobPath                                        dbus.ObjectPath
}

func (m *manager) ListUnitsFiltered(states []string) ([]unitStatus, *dbus.Error) {
	if !slices.Equal(states, []string{"failed"}) {
		return nil, dbus.MakeFailedError(fmt.Errorf("asked for %v", states))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	units := []unitStatus{}
	for _, name := range m.failed {
		units = append(units, unitStatus{Name: name, Load: "loaded", Active: "failed", Sub: "failed", Path: "/unit", JobPath: "/"})
	}
	return units, nil
}

// onBus runs a real dbus-daemon at the node's socket, with m on it.
func onBus(t *testing.T, env Env, m *manager) {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs dbus-daemon: apt-get install dbus-daemon")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	socket := filepath.Join(dir, "socket")
	must(t, os.WriteFile(config, []byte(`<busconfig><type>session</type><listen>unix:path=`+socket+`</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600))
	process := real.NewProcess(real.Command{Name: "dbus-daemon", Path: daemon, Args: []string{"--nofork", "--nopidfile", "--config-file=" + config}})
	must(t, process.Start())
	t.Cleanup(func() { _ = process.Stop() })
	until(t, "the bus listens", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	conn, err := dbus.Connect("unix:path="+socket, dbus.WithContext(t.Context()))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.Export(m, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"))
	_, err = conn.RequestName("org.freedesktop.systemd1", 0)
	must(t, err)
	at := env.Paths.inRoot(systemBus)
	must(t, os.MkdirAll(filepath.Dir(at), 0o755))
	must(t, os.Symlink(socket, at))
}

func TestSystemFailedUnits(t *testing.T) {
	t.Parallel()
	env := node(t, map[string]any{"root" + systemdRuns + "/there": ""})
	c := systemAt(t, env, func(s *systemSettings) { s.IgnoreUnits = []string{"motd-*"} })
	s := run(t, c, systemTimeout)
	s.expect(t, "failed units", health.Unknown, "neither /run/dbus/system_bus_socket nor /run/systemd/private exists")
	if s.value(t, &systemdUp) != 0 {
		t.Error("systemd is said to be up")
	}

	m := &manager{}
	onBus(t, env, m)
	s = run(t, c, systemTimeout)
	s.expect(t, "failed units", health.OK)
	if s.value(t, &systemdUp) != 1 || s.value(t, &systemdFailed) != 0 {
		t.Errorf("samples %+v", s.samples)
	}
	m.fail("motd-news.service", "logrotate.service")
	run(t, c, systemTimeout).expect(t, "failed units", health.Warning, "failed units: logrotate.service")
	m.fail("a.service", "b.service", "c.service", "d.mount", "e.timer", "f.service", "kubelet.service")
	s = run(t, c, systemTimeout)
	s.expect(t, "failed units", health.Critical, "failed units: kubelet.service, a.service, b.service, c.service, d.mount and 2 more")
	if s.value(t, &systemdFailed) != 7 {
		t.Errorf("samples %+v", s.samples)
	}
}

// A socket that accepts and never answers costs its time, not the others.
func TestSystemdThatHangs(t *testing.T) {
	t.Parallel()
	env := node(t, map[string]any{"root" + systemdRuns + "/there": ""})
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	at := env.Paths.inRoot(systemBus)
	must(t, os.MkdirAll(filepath.Dir(at), 0o755))
	must(t, os.Symlink(filepath.Join(dir, "s"), at))
	s := run(t, systemAt(t, env, nil), time.Second)
	s.expect(t, "failed units", health.Unknown, "systemd cannot be asked", "no answer")
	s.expect(t, "memory pressure", health.OK)
}
