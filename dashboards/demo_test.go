package dashboards

import (
	"bufio"
	"context"
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

// demo runs the demo: three etcd members and an agent beside each.
func demo(t *testing.T) (agents []string) {
	t.Helper()
	real.Binary(t, "etcd")
	real.Binary(t, "grapevine")
	bin := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../test/demo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(bin)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // it cleans up, and its children die with it
	})
	var members []string
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Ctrl-C ends it all") {
		if m := agentLine.FindStringSubmatch(lines.Text()); m != nil {
			agents = append(agents, m[1])
		} else if m := etcdLine.FindStringSubmatch(lines.Text()); m != nil {
			members = append(members, m[1])
		}
	}
	if len(agents) != 3 || len(members) != 3 {
		t.Fatalf("the demo runs the agents %v and etcd at %v", agents, members)
	}
	go func() { // so that it does not stall when nobody reads
		for lines.Scan() {
		}
	}()
	write(t, members[0])
	return agents
}

var (
	agentLine = regexp.MustCompile(`pid \d+ +http://(\S+)/metrics`)
	etcdLine  = regexp.MustCompile(`pid \d+ +(http://\S+)$`)
)

// write keeps etcd busy: without writes there are no fsyncs to time.
func write(t *testing.T, member string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, member+"/v3/kv/put", strings.NewReader(`{"key":"Zm9v","value":"YmFy"}`))
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
}

// notInDemo are words of queries that have no answer in the demo, with the
// reason. TestCluster has an answer to them, but for the last ones.
var notInDemo = []absence{
	{"_apiserver_|\"apiserver\"", "the demo has no API server"},
	{"_scheduler_|\"scheduler\"", "the demo has no scheduler"},
	{"_controller_manager_|\"controller-manager\"", "the demo has no controller manager"},
	{"_kubelet_|\"kubelet\"", "the demo has no kubelet"},
	{"_cri_", "the demo has no container runtime"},
	{"_pods_", "the demo has no pods"},
	{"_service_|\"service\"", "the demo has no services"},
	{"_overlay_|\"overlay\"", "the demo has no pod network"},
	{"_smoke_|\"smoke\"", "the demo has no cluster to make runs in"},
	{"_host_network_(peers|loss|arrived|round_trip|probe)", "the demo's agents share one machine, with no network between them"},
	{"_mtu_|\"mtu\"", "the demo's agents share one machine, with no network between them"},
	{"_clock_offset|_clock_peer", "the demo's agents share one clock, which says nothing"},
}

// onlyIn are words of queries that have an answer on some machines only, or
// while something is wrong.
var onlyIn = []absence{
	{"_docker_", "Docker is not on every machine"},
	{"_certificates_expiry", "no certificates lie where kubeadm puts them"},
	{"_etcd_certificate_expiry", "etcd is asked without TLS"},
	{"_mesh_certificate_expiry", "the mesh has no TLS"},
	{"_time_to_full_", "told after ten minutes, while the disk fills up"},
	{"_check_failures_total.* > 0$", "while a check fails as a whole"},
	{"_link_(errors|drops)_total.* > 0$", "while a link is bad"},
	{"_arrived_ratio", "while packets are lost"},
	{"_mesh_refused_total", "while somebody is refused"},
	{"_mesh_news_total", "told once there was news"},
	{"_apiserver_check_failed", "while a check of the API server's own fails"},
	{"_pods_bad", "while a pod is in trouble"},
}

// onlyForAll are words of what a node tells in an answer for all alone.
var onlyForAll = []absence{
	{"_node_observers", "a node's own answer says nothing of others"},
	{"_mesh_scrape_complete", "a node's own answer says nothing of others"},
}

// TestDemo asks every query of a real Prometheus that scrapes the demo: any one
// agent, every agent for itself, and both at once.
func TestDemo(t *testing.T) {
	t.Parallel()
	agents := demo(t)
	anyNode := `  - {job_name: any, static_configs: [{targets: ["` + agents[1] + `"]}]}` + "\n"
	everyNode := `  - {job_name: every, metrics_path: /metrics/local, static_configs: [{targets: ["` + strings.Join(agents, `", "`) + `"]}]}` + "\n"
	ways := map[string]*view{
		"any node":   scrape(t, anyNode, notInDemo, onlyIn),
		"every node": scrape(t, everyNode, notInDemo, onlyIn, onlyForAll),
		"both":       scrape(t, anyNode+everyNode, notInDemo, onlyIn),
	}
	for way, v := range ways {
		v.answersAll(t, way)
		for title, want := range map[string]float64{"Nodes reporting": 3, "Nodes silent": 0, "Mesh": 0} {
			v.shows(t, way, "overview", title, want)
		}
	}
	ways["both"].showsLike(t, ways["any node"])
}
