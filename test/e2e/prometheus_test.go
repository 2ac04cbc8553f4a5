package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// staleAfter is short, to see series end within a test.
const staleAfter = 20 * time.Second

// TestOneAgentAnswersForAll is the main job from the outside: a real
// Prometheus scrapes one agent of three and has the whole cluster, while
// things die.
func TestOneAgentAnswersForAll(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "--mesh.stale-after="+staleAfter.String())
	c.converged(c.agents...)

	prometheus := real.NeedPrometheus(t, real.PrometheusOptions{Config: scrapeConfig(c.agents[0], alertRules(t))})
	has := func(what, expr string, want int) {
		t.Helper()
		eventually(t, what, func(ctx context.Context) error {
			got, err := prometheus.Query(ctx, expr)
			if err == nil && len(got) != want {
				err = fmt.Errorf("%s: got %v, want %d", expr, got, want)
			}
			return err
		})
	}
	for _, expr := range []string{
		`grapevine_etcd_read_last_duration_seconds{consistency="linearizable"}`,
		`grapevine_etcd_has_leader == 1`,
		`grapevine_node_info`,
		`count by (node) (grapevine_check_status{check="disk"} == 0)`,
		`count by (node) (grapevine_check_status{check="apiserver"} == 0)`,
		`sum by (node) (rate(grapevine_check_runs_total{check="etcd"}[20s])) > 0`,
		`histogram_quantile(0.99, sum by (node, le) (rate(grapevine_etcd_read_duration_seconds_bucket[20s]))) > 0`,
	} {
		has("Prometheus has "+expr, expr, size)
	}
	for _, a := range c.agents {
		for _, path := range []string{"/metrics", "/metrics/local"} {
			promtoolAccepts(t, a.URL+path)
		}
	}

	has("that all agents were scraped for all shows", `grapevine_mesh_cluster_scraped_nodes == 3`, 1)

	rulesAreEvaluated(t, prometheus)
	everyFamilyIsDocumented(t, c.agents[1])
	everyProtocolSaysTheSame(t, c.agents[0])

	leader := c.stopEtcdLeader()
	has("Prometheus sees the verdict", fmt.Sprintf(`grapevine_check_status{check="etcd",node=%q} == 2`, nodeName(leader)), 1)
	has("an alert names the one node that sees it", fmt.Sprintf(`ALERTS{alertname="GrapevineEtcdUnhealthyFromNode",node=%q,severity="warning"}`, nodeName(leader)), 1)
	has("no page is on its way", `ALERTS{alertname=~"GrapevineEtcd.*",severity="critical"}`, 0)
	if err := c.etcd.Members[leader].Start(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Another agent takes over as the target. Nothing may seem to restart.
	switched := time.Now()
	if err := prometheus.Reload(t.Context(), scrapeConfig(c.agents[1], alertRules(t))); err != nil {
		t.Fatal(err)
	}
	time.Sleep(8 * time.Second)
	countersOnlyGrow(t, prometheus, switched)

	// One agent dies without a word: it is down, and its series end.
	dead := c.agents[2]
	if err := dead.Kill(); err != nil {
		t.Fatal(err)
	}
	has("node_up falls", fmt.Sprintf(`grapevine_node_up{node=%q} == 0`, dead.Name), 1)
	has("its alert is on its way", fmt.Sprintf(`ALERTS{alertname="GrapevineNodeDown",node=%q}`, dead.Name), 1)
	has("its series end", fmt.Sprintf(`{node=%q, __name__!~"grapevine_node_up|grapevine_node_snapshot_age_seconds|grapevine_node_observers.*|.*:.*|ALERTS.*"}`, dead.Name), 0)
	has("the others' series go on", `grapevine_node_info`, size-1)
	out, code := grapevine(t, "status", "--url="+c.agents[0].URL)
	if code == 0 || !strings.Contains(out, dead.Name) {
		t.Errorf("status exits %d and says\n%s", code, out)
	}
}

// everyProtocolSaysTheSame scrapes one agent in each of Prometheus' protocols.
// Protobuf alone has native histograms, those of all nodes.
func everyProtocolSaysTheSame(t *testing.T, a *real.Agent) {
	t.Helper()
	config := "global: {scrape_interval: 1s}\nscrape_configs:\n"
	protocols := []string{"PrometheusProto", "OpenMetricsText1.0.0", "PrometheusText0.0.4"}
	for _, protocol := range protocols {
		config += fmt.Sprintf("  - {job_name: %s, scrape_protocols: [%s], scrape_native_histograms: true, always_scrape_classic_histograms: true, static_configs: [{targets: [%q]}]}\n",
			protocol, protocol, strings.TrimPrefix(a.URL, "http://"))
	}
	prometheus := real.NeedPrometheus(t, real.PrometheusOptions{Config: config})
	const native = "grapevine_web_request_duration_seconds"
	for _, expr := range []string{
		`up == 1`,
		`count by (job) (grapevine_node_up == 1) == ` + fmt.Sprint(size),
		`count by (job) (count by (job, node) (grapevine_check_status{check="etcd"} == 0)) == ` + fmt.Sprint(size),
		`count by (job) (count by (job, node) (` + native + `_bucket{le="+Inf"})) == ` + fmt.Sprint(size),
	} {
		eventually(t, expr, func(ctx context.Context) error {
			got, err := prometheus.Query(ctx, expr)
			if err == nil && len(got) != len(protocols) {
				err = fmt.Errorf("got %v, want that of %d protocols", got, len(protocols))
			}
			return err
		})
	}
	expr := `count by (job) (count by (job, node) (histogram_count(` + native + `)))`
	eventually(t, expr, func(ctx context.Context) error {
		got, err := prometheus.Query(ctx, expr)
		if err == nil && (len(got) != 1 || got[0].Metric["job"] != "PrometheusProto" || got[0].Value != size) {
			err = fmt.Errorf("got %v, want those of %d nodes by protobuf", got, size)
		}
		return err
	})
}

// countersOnlyGrow looks at every counter around the moment when the target
// was switched.
func countersOnlyGrow(t *testing.T, p *real.Prometheus, switched time.Time) {
	t.Helper()
	end := time.Now()
	matrix, err := p.QueryRange(t.Context(), `{__name__=~".+_(total|count|bucket)"}`, end.Add(-20*time.Second), end, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	goOn := 0
	for _, s := range matrix {
		if s.Values[0].Timestamp.Time().Before(switched) && s.Values[len(s.Values)-1].Timestamp.Time().After(switched.Add(4*time.Second)) {
			goOn++
		}
		for i := 1; i < len(s.Values); i++ {
			if s.Values[i].Value < s.Values[i-1].Value {
				t.Errorf("%s goes back from %v to %v at %v", s.Metric, s.Values[i-1].Value, s.Values[i].Value, s.Values[i].Timestamp.Time())
				break
			}
		}
	}
	if goOn < 100*size {
		t.Errorf("only %d of %d counters go on when the target changes: too few to tell", goOn, len(matrix))
	}
}

// stopEtcdLeader stops the member that leads and holds that every OTHER
// node's /metrics shows the verdict within 10 s. It returns which it was.
func (c *cluster) stopEtcdLeader() int {
	c.t.Helper()
	leader := -1
	eventually(c.t, "one etcd member leads", func(ctx context.Context) error {
		for i := range size {
			if wants(ctx, c.agents[0], "grapevine_etcd_is_leader", 1, "node", nodeName(i)) == nil {
				leader = i
				return nil
			}
		}
		return fmt.Errorf("nobody leads")
	})
	if err := c.etcd.Members[leader].Kill(); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "the other nodes show the verdict on etcd's leader", func(ctx context.Context) error {
		for i, a := range c.agents {
			if i == leader {
				continue
			}
			if err := wants(ctx, a, "grapevine_check_status", 2, "check", "etcd", "node", nodeName(leader)); err != nil {
				return err
			}
		}
		return nil
	})
	return leader
}

// scrapeConfig scrapes one agent each second, and evaluates the rules in these
// files as often. The label instance is the same whichever agent it is, so that
// series go on when the target changes.
func scrapeConfig(a *real.Agent, rules string) string {
	return fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: grapevine
    static_configs: [{targets: [%q]}]
    relabel_configs: [{target_label: instance, replacement: any}]
`, rules, strings.TrimPrefix(a.URL, "http://"))
}

// alertRules are the files of rules in alerts/.
func alertRules(t *testing.T) string {
	t.Helper()
	root, err := real.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "alerts", "rules", "*.yaml")
}

func promtoolAccepts(t *testing.T, url string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cmd := exec.Command(real.Binary(t, "promtool"), "check", "metrics")
	cmd.Stdin = io.LimitReader(resp.Body, 16<<20)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics on %s: %v\n%s", url, err, out)
	}
}
