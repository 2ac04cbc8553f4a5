package real

import (
	"os"
	"os/exec"
	"testing"
)

// Binary is FindBinary for tests: a missing program skips the test, or fails
// it when CI=true.
func Binary(tb testing.TB, name string) string {
	tb.Helper()
	path, err := FindBinary(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		tb.Fatal(err)
	}
	tb.Skip(err)
	return ""
}

// NeedEtcd starts an etcd cluster that ends with the test. Binary and Dir may
// be empty.
func NeedEtcd(tb testing.TB, o EtcdOptions) *Etcd {
	tb.Helper()
	fill(tb, "etcd", &o.Binary, &o.Dir)
	e, err := StartEtcd(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	for _, m := range e.Members {
		showLog(tb, m.Process)
	}
	stopAtEnd(tb, e)
	return e
}

// NeedAPIServer starts an API server that ends with the test. Binary and Dir
// may be empty; EtcdURL too, then it gets an etcd of its own.
func NeedAPIServer(tb testing.TB, o APIServerOptions) *APIServer {
	tb.Helper()
	fill(tb, "kube-apiserver", &o.Binary, &o.Dir)
	if o.EtcdURL == "" {
		o.EtcdURL = NeedEtcd(tb, EtcdOptions{}).Members[0].ClientURL
	}
	s, err := StartAPIServer(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	showLog(tb, s.Process)
	stopAtEnd(tb, s)
	return s
}

// NeedPrometheus starts a Prometheus that ends with the test. Binary and Dir
// may be empty.
func NeedPrometheus(tb testing.TB, o PrometheusOptions) *Prometheus {
	tb.Helper()
	fill(tb, "prometheus", &o.Binary, &o.Dir)
	p, err := StartPrometheus(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	showLog(tb, p.Process)
	stopAtEnd(tb, p)
	return p
}

// NeedAlertmanager starts an Alertmanager that ends with the test. Binary and
// Dir may be empty.
func NeedAlertmanager(tb testing.TB, o AlertmanagerOptions) *Alertmanager {
	tb.Helper()
	if o.Binary == "" {
		o.Binary = need(tb, "prometheus-alertmanager")
	}
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	a, err := StartAlertmanager(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	showLog(tb, a.Process)
	stopAtEnd(tb, a)
	return a
}

// Amtool returns the path of the program that comes with Alertmanager. Where it
// is missing the test is skipped, or fails when CI=true.
func Amtool(tb testing.TB) string {
	tb.Helper()
	return need(tb, "amtool")
}

// Program returns the path of a program that a package of the distribution
// brings. Where it is missing the test is skipped, or fails when CI=true.
func Program(tb testing.TB, name string) string {
	tb.Helper()
	return need(tb, name)
}

// NeedAgent starts an agent that ends with the test. Binary and Dir may be
// empty.
func NeedAgent(tb testing.TB, o AgentOptions) *Agent {
	tb.Helper()
	fill(tb, "grapevine", &o.Binary, &o.Dir)
	a, err := StartAgent(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	showLog(tb, a.Process)
	stopAtEnd(tb, a)
	return a
}

func fill(tb testing.TB, name string, binary, dir *string) {
	tb.Helper()
	if *binary == "" {
		*binary = Binary(tb, name)
	}
	if *dir == "" {
		*dir = tb.TempDir()
	}
}

// stopAtEnd runs before the removal of a tb.TempDir that was made earlier.
func stopAtEnd(tb testing.TB, server interface{ Stop() error }) {
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Error(err)
		}
	})
}

// showLog prints a server's last words when the test has failed. It is
// registered before stopAtEnd, so it runs once the server has ended.
func showLog(tb testing.TB, p *Process) {
	tb.Cleanup(func() {
		if log := p.Log(); tb.Failed() && log != "" {
			tb.Logf("the end of what %s wrote:\n%s", p.command.Name, log[max(0, len(log)-8<<10):])
		}
	})
}

// NeedHost starts a host that ends with the test, after what the test starts
// in it later.
func NeedHost(tb testing.TB, o HostOptions) *Host {
	tb.Helper()
	h, err := StartHost(tb.Context(), o)
	if err != nil {
		if os.Getenv("CI") == "true" || os.Geteuid() == 0 {
			tb.Fatal(err)
		}
		tb.Skip(err)
	}
	stopAtEnd(tb, h)
	return h
}

// NeedContainerd starts a containerd that ends with the test. Binary and Host
// may be empty.
func NeedContainerd(tb testing.TB, o ContainerdOptions) *Containerd {
	tb.Helper()
	need(tb, "runc", "ctr")
	if o.Binary == "" {
		o.Binary = need(tb, "containerd")
	}
	if o.Host == nil {
		o.Host = NeedHost(tb, HostOptions{})
	}
	c, err := StartContainerd(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	showLog(tb, c.Process)
	return c
}

// NeedDockerd starts a Docker daemon that ends with the test. Binary and Host
// may be empty.
func NeedDockerd(tb testing.TB, o DockerdOptions) *Dockerd {
	tb.Helper()
	need(tb, "runc", "docker")
	if o.Binary == "" {
		o.Binary = need(tb, "dockerd")
	}
	if o.Host == nil {
		o.Host = NeedHost(tb, HostOptions{})
	}
	d, err := StartDockerd(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	showLog(tb, d.Process)
	return d
}

// need finds programs that a package of the distribution brings, and returns
// the path of the last. A missing one skips the test, or fails it when
// CI=true.
func need(tb testing.TB, names ...string) (path string) {
	tb.Helper()
	for _, name := range names {
		var err error
		if path, err = exec.LookPath(name); err != nil {
			missing := "install the package that brings it; make packages alert-packages does: "
			if os.Getenv("CI") == "true" {
				tb.Fatal(missing, err)
			}
			tb.Skip(missing, err)
		}
	}
	return path
}
