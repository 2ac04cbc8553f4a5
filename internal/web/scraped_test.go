package web

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/exposition"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// cluster is several nodes' web interfaces over one View, as if the mesh took
// no time.
type cluster struct {
	t        *testing.T
	handlers map[string]http.Handler

	mu       sync.Mutex // guards what follows
	now      time.Time
	registry map[string]*prometheus.Registry
	nodes    []mesh.Node
}

func newCluster(t *testing.T, names ...string) *cluster {
	c := &cluster{t: t, now: noon, handlers: map[string]http.Handler{}, registry: map[string]*prometheus.Registry{}}
	for _, name := range names {
		reg := prometheus.NewRegistry()
		c.registry[name] = reg
		c.nodes = append(c.nodes, mesh.Node{Name: name, Up: true, Age: time.Second})
		c.handlers[name] = newServer(c.config(name), c.clock)
	}
	c.publish()
	return c
}

func (c *cluster) config(name string) Config {
	return Config{
		Node: name, View: func() mesh.View { return c.view(name) }, Local: c.registry[name],
		Renderer: exposition.New(prometheus.NewRegistry()), Logger: log.NewNopLogger(), Registry: c.registry[name],
	}
}

func (c *cluster) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *cluster) view(self string) mesh.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return mesh.View{Self: self, Nodes: append([]mesh.Node(nil), c.nodes...)}
}

// publish lets every node tell all others what it exports.
func (c *cluster) publish() {
	c.t.Helper()
	for i := range c.nodes {
		n := &c.nodes[i]
		families, err := c.registry[n.Name].Gather()
		if err != nil {
			c.t.Fatal(err)
		}
		schema, values := health.FromFamilies("1.0.0", "node", families)
		c.mu.Lock()
		n.Snapshot = &health.Snapshot{Node: n.Name, Schema: schema, Values: values}
		c.mu.Unlock()
	}
}

func (c *cluster) pass(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
	c.publish()
}

// change alters one node.
func (c *cluster) change(name string, f func(*mesh.Node)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.nodes {
		if c.nodes[i].Name == name {
			f(&c.nodes[i])
		}
	}
}

func (c *cluster) scrape(node, target string) string {
	c.t.Helper()
	w := ask(c.handlers[node], "GET", target)
	if w.Code != 200 {
		c.t.Fatalf("%s of %s: %d %s", target, node, w.Code, w.Body)
	}
	return w.Body.String()
}

// says holds that every node says how many are scraped. It looks by way of
// node=, which does not count.
func (c *cluster) says(want int) {
	c.t.Helper()
	c.publish()
	for name := range c.handlers {
		line := fmt.Sprintf("grapevine_mesh_cluster_scraped_nodes{node=%q} %d\n", name, want)
		if got := c.scrape(name, "/metrics?node="+name); !strings.Contains(got, line) {
			c.t.Errorf("asked %s, want %s got\n%s", name, line, got)
		}
	}
}

// Whoever is asked tells on how many nodes the whole cluster is scraped, for
// five minutes from the last time.
func TestClusterScrapedNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b", "c", "d", "e")
	c.says(0)
	for _, target := range []string{
		"/metrics?node=a", "/metrics?shard=1/2", "/metrics?node=a&shard=0/1", "/metrics/local", "/sd", "/api/v1/status", "/",
	} {
		c.scrape("a", target)
	}
	ask(c.handlers["a"], "HEAD", "/metrics")
	if w := ask(c.handlers["a"], "GET", "/metrics?shard=x"); w.Code != 400 {
		t.Fatal(w.Code)
	}
	c.says(0)

	c.scrape("a", "/metrics")
	c.scrape("b", "/metrics?collect[]=disk")
	c.scrape("d", "/metrics?shard=0/1")
	c.says(3)
	c.scrape("a", "/metrics")
	c.says(3)
	if got := c.scrape("e", "/metrics/local"); !strings.Contains(got, `grapevine_web_cluster_scraped{node="e"} 0`) || strings.Contains(got, "cluster_scraped_nodes") {
		t.Errorf("a node by itself says\n%s", got)
	}
	if got := c.scrape("a", "/metrics/local"); !strings.Contains(got, `grapevine_web_cluster_scraped{node="a"} 1`) {
		t.Errorf("a node that is scraped says\n%s", got)
	}

	c.pass(scrapedFor - time.Second)
	c.says(3)
	c.scrape("b", "/metrics")
	c.pass(time.Second)
	c.says(1)
	c.pass(scrapedFor)
	c.says(0)
}

// Who is down or unheard does not count, whatever it said last; nor does one
// whose snapshot lacks the gauge, or is not what its schema says.
func TestClusterScrapedNodesThatAreGone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b", "c", "d")
	for name := range c.handlers {
		c.scrape(name, "/metrics")
	}
	c.says(4)
	var count census
	check := func(what string, want int) {
		t.Helper()
		for range 2 { // from scratch, and from memory
			if got := count.scraped(c.view("a")); got != want {
				t.Errorf("%s: %d, want %d", what, got, want)
			}
		}
	}
	check("all", 4)
	c.change("b", func(n *mesh.Node) { n.Up = false })
	check("one is down", 3)
	c.change("c", func(n *mesh.Node) { n.Snapshot = nil })
	check("one is silent", 2)
	c.change("d", func(n *mesh.Node) {
		n.Snapshot = &health.Snapshot{Node: "d", Schema: &health.Schema{Families: []health.Family{
			{Name: "grapevine_a", Type: health.Gauge, Series: []health.Series{{}}}, {Name: "grapevine_z", Type: health.Gauge, Series: []health.Series{{}}},
		}}, Values: []float64{1, 1}}
	})
	check("one is of another version", 1)
	c.change("a", func(n *mesh.Node) { n.Snapshot = &health.Snapshot{Node: "a", Schema: n.Snapshot.Schema} })
	check("one has no values", 0)
	c.nodes = c.nodes[1:]
	c.publish()
	check("others in their places", 2)
	c.change("b", func(n *mesh.Node) { n.Up = true })
	check("one is back", 3)
}

// A relayed scrape counts where it was asked, not where it was answered.
func TestClusterScrapedNodesByRelay(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "agg", "leaf1", "leaf2")
	var h holders
	h.add(t, "agg", NewForPeers(c.config("agg")))
	for _, leaf := range []string{"leaf1", "leaf2"} {
		cfg := c.config(leaf)
		cfg.Registry, cfg.Holders = prometheus.NewRegistry(), &h
		c.registry[leaf] = cfg.Registry.(*prometheus.Registry)
		cfg.View = func() mesh.View {
			v := c.view(leaf)
			v.Partial = true
			return v
		}
		c.handlers[leaf] = newServer(cfg, c.clock)
	}
	for range 3 {
		for _, leaf := range []string{"leaf1", "leaf2"} {
			c.publish()
			c.scrape(leaf, "/metrics")
		}
	}
	c.publish()
	if got := c.scrape("leaf2", "/metrics"); !strings.Contains(got, `grapevine_mesh_cluster_scraped_nodes{node="agg"} 2`) {
		t.Errorf("relayed:\n%s", got)
	}
	if got := c.scrape("agg", "/metrics?node=agg"); !strings.Contains(got, `grapevine_mesh_cluster_scraped_nodes{node="agg"} 2`) {
		t.Errorf("the holder itself:\n%s", got)
	}
	// A leaf does not hold what the others say of it.
	if got := c.scrape("leaf1", "/metrics?node=leaf1"); strings.Contains(got, "grapevine_mesh_cluster_scraped_nodes") {
		t.Errorf("the leaf itself:\n%s", got)
	}
}

// A thousand nodes, each with a schema of its own, are counted in microseconds.
func BenchmarkClusterScrapedNodes(b *testing.B) {
	var v mesh.View
	for i := range 1000 {
		s := &health.Schema{}
		for f := range 100 {
			s.Families = append(s.Families, health.Family{Name: fmt.Sprintf("grapevine_a%03d", f), Series: []health.Series{{}}})
		}
		s.Families = append(s.Families, health.Family{Name: scrapedName, Series: []health.Series{{}}})
		values := make([]float64, 101)
		values[100] = float64(i % 2)
		v.Nodes = append(v.Nodes, mesh.Node{Up: true, Snapshot: &health.Snapshot{Schema: s, Values: values}})
	}
	var c census
	b.ReportAllocs()
	for b.Loop() {
		if c.scraped(v) != 500 {
			b.Fatal("miscounted")
		}
	}
}
