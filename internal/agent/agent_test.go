package agent

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/grapevine-mesh/grapevine/internal/echo"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// go-metrics, which serf brings along, signals for good.
		goleak.IgnoreAnyFunction("github.com/hashicorp/go-metrics.(*InmemSignal).run"),
		// serf leaves it behind when its port is taken; the agent exits then.
		goleak.IgnoreAnyFunction("github.com/hashicorp/serf/serf.(*serfQueries).stream"))
}

// The main job: any agent answers for all, and a clean leave is known at once.
func TestAnyAgentAnswersForAll(t *testing.T) {
	t.Parallel()
	var agents []*running
	var want []string
	for _, name := range []string{"n1", "n2", "n3"} {
		cfg, logs := testConfig(t, name)
		if len(agents) > 0 {
			cfg.MeshJoin = []string{agents[0].GossipAddr()}
		}
		agents = append(agents, start(t, cfg, logs))
		want = append(want, `grapevine_node_up{node="`+name+`"} 1`,
			`grapevine_check_enabled{check="disk",node="`+name+`"} 1`, `grapevine_check_enabled{check="etcd",node="`+name+`"} 0`,
			`grapevine_config_last_reload_successful{node="`+name+`"} 1`,
			`grapevine_node_cpus{node="`+name+`"} `, `go_goroutines{node="`+name+`"} `, `grapevine_check_runs_total{check="disk",node="`+name+`"} `)
	}
	for _, a := range agents {
		eventually(t, func() error { return a.shows("/metrics", want...) })
		eventually(t, func() error { return a.shows("/-/ready") })
		if err := a.shows("/metrics/local", `grapevine_check_status{check="disk",node="`+a.cfg.Node+`"`); err != nil {
			t.Error(err)
		}
	}
	if err := agents[0].stop(); err != nil {
		t.Errorf("the first ended with %v", err)
	}
	eventually(t, func() error {
		if _, body := agents[2].get("/metrics"); strings.Contains(body, `node="n1"`) {
			return fmt.Errorf("n3 still shows n1, which has said goodbye")
		}
		return nil
	})
	for _, a := range agents {
		for line := range strings.Lines(a.logs.String()) {
			if strings.Contains(line, "level=error") || strings.Contains(line, "gathering") {
				t.Errorf("%s logged %s", a.cfg.Node, line)
			}
		}
	}
}

func TestReload(t *testing.T) {
	cfg, logs := testConfig(t, "n1")
	a := start(t, cfg, logs)
	eventually(t, func() error { return a.shows("/-/ready") })
	if err := a.shows("/metrics/local", "grapevine_disk_"); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(cfg.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string) {
		if err := os.WriteFile(cfg.ConfigFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	put("checks:\n  disk:\n    intervall: 1s\n")
	response, err := http.Post("http://"+a.WebAddr()+"/-/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusInternalServerError || !strings.Contains(string(body), cfg.ConfigFile+`:3: unknown key "intervall"`) {
		t.Errorf("a bad file is answered with %d: %s", response.StatusCode, body)
	}
	if err := a.shows("/metrics/local", `grapevine_config_last_reload_successful{node="n1"} 0`, `grapevine_check_enabled{check="disk",node="n1"} 1`); err != nil {
		t.Error(err)
	}

	put(string(good))
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		return a.shows("/metrics/local", `grapevine_config_last_reload_successful{node="n1"} 1`)
	})

	// Counters go on over reloads; what a check that is now off has exported ends.
	if err := a.shows("/metrics/local", `grapevine_disk_`); err != nil {
		t.Error(err)
	}
	a.cfg.Collectors["disk"] = false
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, body := a.get("/metrics/local"); strings.Contains(body, "grapevine_disk_") {
		t.Error("a check that is off still exports")
	}
	if err := a.shows("/metrics/local", `grapevine_check_enabled{check="disk",node="n1"} 0`, `grapevine_check_runs_total{check="disk",node="n1"}`); err != nil {
		t.Error(err)
	}
}

// A check that was asked for by name and has nothing to look at is a verdict.
func TestCheckAskedForByName(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/etc/kubernetes/manifests/etcd.yaml"); err == nil {
		t.Skip("there is an etcd on this node")
	}
	cfg, logs := testConfig(t, "n1")
	cfg.Collectors = map[string]bool{"apiserver": false, "etcd": true}
	a := start(t, cfg, logs)
	eventually(t, func() error {
		return a.shows("/metrics/local", `grapevine_check_status{check="etcd",node="n1",subject="etcd"} 3`)
	})

	delete(cfg.Collectors, "etcd")
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := a.shows("/metrics/local", `grapevine_check_enabled{check="etcd",node="n1"} 0`); err != nil {
		t.Error(err)
	}
	if !strings.Contains(logs.String(), `msg="check is off" check=etcd reason="etcd is not on this node`) {
		t.Error("the log does not say why etcd is off")
	}
}

// A request that takes its time does not hold up the end.
func TestStopCutsRequestsOff(t *testing.T) {
	t.Parallel()
	cfg, logs := testConfig(t, "n1")
	a := start(t, cfg, logs)
	eventually(t, func() error { return a.shows("/-/healthy") })
	conn, err := net.Dial("tcp", a.WebAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /debug/pprof/trace?seconds=20 HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // until it is being answered
	if err := a.stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// What New and Listen took is free again when they fail.
func TestFailedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg, logs := testConfig(t, "n1")
	for _, spoil := range []func(*Config){
		func(c *Config) { c.WebListen = taken.Addr().String() },
		func(c *Config) { c.MeshExchange = taken.Addr().String() },
		func(c *Config) { c.EchoListen = taken.Addr().String() },
		func(c *Config) { c.MeshBind = taken.Addr().String() },
		func(c *Config) { c.MeshCluster = "" },
		func(c *Config) { c.ConfigFile = c.StoragePath },
	} {
		bad := cfg
		spoil(&bad)
		a, err := New(bad)
		if err == nil {
			err = a.Listen()
		}
		if err == nil {
			t.Error("started")
		}
	}
	start(t, cfg, logs)
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "--storage.path: "+cfg.StoragePath+": in use by another agent") {
		t.Errorf("a second agent on the same storage: %v", err)
	}
}

// A corrupt state file is set aside with a warning.
func TestCorruptState(t *testing.T) {
	t.Parallel()
	cfg, logs := testConfig(t, "n1")
	if err := os.WriteFile(filepath.Join(cfg.StoragePath, "state.json"), []byte("\x00garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, cfg, logs)
	if !strings.Contains(logs.String(), "level=warn") || !strings.Contains(logs.String(), "state.json") {
		t.Errorf("no warning in the log:\n%s", logs)
	}
}

// Each agent knows how the others can be probed, and when they are away on
// purpose.
func TestPeers(t *testing.T) {
	t.Parallel()
	cfg, logs := testConfig(t, "n1")
	one := start(t, cfg, logs)
	cfg, logs = testConfig(t, "n2")
	cfg.MeshJoin = []string{one.GossipAddr()}
	two := start(t, cfg, logs)
	eventually(t, func() error {
		peers := one.peers()
		if len(peers) != 1 || peers[0].Port != two.echo.Addr().Port() {
			return fmt.Errorf("n1 knows %+v", peers)
		}
		return nil
	})
	p := one.peers()[0]
	if p.Name != "n2" || len(p.Host) != 1 || !p.Host[0].IsLoopback() || p.Quiet != "" || p.Since.IsZero() {
		t.Errorf("n1 knows %+v", p)
	}
	burst, err := echo.Prober{Node: "n1"}.Burst(t.Context(), netip.AddrPortFrom(p.Host[0], p.Port), 1, 0)
	if err != nil || len(burst.Answers) != 1 || burst.Answers[0].Node != "n2" {
		t.Errorf("the echo of n2: %+v, %v", burst, err)
	}
}

// A reload that hangs, with the disk it reads from, does not silence the node.
func TestHangingReloadDoesNotSilence(t *testing.T) {
	t.Parallel()
	cfg, logs := testConfig(t, "n1")
	a := start(t, cfg, logs)
	eventually(t, func() error { return a.shows("/-/ready") })
	a.reloading.Lock()
	defer a.reloading.Unlock()
	published := make(chan error, 1)
	go func() { published <- a.publishOnce() }()
	select {
	case err := <-published:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("publishing waits for the reload")
	}
}
