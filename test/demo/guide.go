package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// guide prints what there is and what to do with it.
func (c *cluster) guide() {
	p := func(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }
	p("")
	for _, m := range c.etcd.Members {
		p("  %-8s pid %-8d %s", m.Name, m.Pid(), m.ClientURL)
	}
	for _, a := range c.agents {
		p("  %-8s pid %-8d %s/metrics", a.Name, a.Pid(), a.URL)
	}
	p("")
	p("Logs and data are in %s.", c.dir)
	for _, what := range surroundings() {
		p("%s", what)
	}

	first, last := c.agents[0], c.agents[len(c.agents)-1]
	p("\nAny agent answers for all of them:")
	p("  curl -s %s/metrics | grep grapevine_node_up", last.URL)
	p("  curl -s %s/metrics | grep grapevine_check_status", last.URL)
	p("  curl -s %s/metrics/local", last.URL)
	p("  bin/grapevine status --url %s", first.URL)
	p("  bin/grapevine members --url %s", first.URL)
	p("\nSo Prometheus needs a single target, whichever:")
	p("  scrape_configs:")
	p("    - job_name: grapevine")
	p("      scrape_interval: 5s")
	p("      static_configs:")
	p("        - targets: [%q]", strings.TrimPrefix(first.URL, "http://"))
	p("\nTry, and ask an agent that you did not touch:")
	p("  kill %-8d               one etcd member ends", c.etcd.Members[0].Pid())
	p("  kill -STOP %-8d         ... hangs (-CONT: goes on)", c.etcd.Members[len(c.etcd.Members)-1].Pid())
	if len(c.agents) > 1 {
		p("  kill -KILL %-8d         an agent dies; grapevine_node_up falls to 0", last.Pid())
	}
	p("\nCtrl-C ends it all and removes its data.")
}

// surroundings says what else of this machine the agents can find: they have
// the demo's environment.
func surroundings() []string {
	var found []string
	kubeconfig := os.Getenv("KUBECONFIG")
	if home, err := os.UserHomeDir(); err == nil && kubeconfig == "" {
		kubeconfig = filepath.Join(home, ".kube", "config")
	}
	if _, err := os.Stat(kubeconfig); err == nil {
		found = append(found, "The agents can see the Kubernetes API by "+kubeconfig+".")
	}
	if os.Getenv("DOCKER_HOST") != "" {
		found = append(found, "The agents can see Docker by DOCKER_HOST.")
	} else if _, err := os.Stat("/var/run/docker.sock"); err == nil {
		found = append(found, "The agents can see Docker by /var/run/docker.sock.")
	}
	return found
}

// watch tells of every process that ends, until ctx ends.
func (c *cluster) watch(ctx context.Context) {
	type server struct {
		name    string
		process *real.Process
		up      bool
	}
	var all []*server
	for _, m := range c.etcd.Members {
		all = append(all, &server{m.Name, m.Process, true})
	}
	for _, a := range c.agents {
		all = append(all, &server{a.Name, a.Process, true})
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, s := range all {
			if s.up && !s.process.Running() {
				s.up = false
				fmt.Fprintf(c.out, "%s (pid %d) has ended.\n", s.name, s.process.Pid())
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
