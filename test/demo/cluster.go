package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// cluster is all that the demo runs.
type cluster struct {
	dir    string
	out    io.Writer
	etcd   *real.Etcd
	agents []*real.Agent
	logs   []*os.File
}

// start starts etcd and the agents. What it has started when it fails is
// ended by stop.
func (c *cluster) start(ctx context.Context, o options) error {
	etcd, err := real.FindBinary("etcd")
	if err != nil {
		return err
	}
	grapevine, err := real.FindBinary("grapevine")
	if err != nil {
		return err
	}
	log, err := c.log("etcd")
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "Starting etcd, %d members ...\n", o.members)
	c.etcd, err = real.StartEtcd(ctx, real.EtcdOptions{Binary: etcd, Dir: c.dir, Members: o.members, Log: log})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "Starting grapevine, %d agents ...\n", o.agents)
	var seeds []string
	for i := range o.agents {
		name := fmt.Sprintf("node-%d", i+1)
		log, err := c.log(name)
		if err != nil {
			return err
		}
		agent, err := real.StartAgent(ctx, real.AgentOptions{
			Binary: grapevine, Dir: c.dir, Name: name, Log: log,
			Config: agentConfig(c.etcd.Members[i%o.members]), Join: seeds,
		})
		if err != nil {
			return err
		}
		c.agents = append(c.agents, agent)
		if len(seeds) < 3 {
			seeds = append(seeds, agent.Gossip)
		}
	}
	return nil
}

// log makes a file that a visitor can follow while the demo runs.
func (c *cluster) log(name string) (*os.File, error) {
	f, err := os.Create(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("making the log of %s: %w", name, err)
	}
	c.logs = append(c.logs, f)
	return f, nil
}

// agentConfig is the configuration of an agent that lives beside member and
// asks nobody outside this machine.
func agentConfig(member *real.EtcdMember) string {
	return fmt.Sprintf("checks:\n  etcd:\n    endpoints: [%q]\n  disk:\n    paths: [%q]\n  dns:\n    outside_name: \"\"\n", member.ClientURL, member.DataDir)
}

// converge waits until every agent shows every other as up, with a verdict on
// its etcd.
func (c *cluster) converge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, convergePatience)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var shown string
	for {
		complete, progress := c.progress(ctx)
		if progress != shown && ctx.Err() == nil {
			fmt.Fprintln(c.out, "Waiting for the mesh:", progress)
			shown = progress
		}
		if complete {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the agents do not know each other after %v: %s\n%s", convergePatience, shown, c.lastWords())
		case <-tick.C:
		}
	}
}

// progress says what each agent sees, and whether that is everything.
func (c *cluster) progress(ctx context.Context) (bool, string) {
	complete, words := true, make([]string, len(c.agents))
	for i, a := range c.agents {
		up, judged, err := sees(ctx, a)
		if err != nil {
			complete, words[i] = false, a.Name+" does not answer"
			continue
		}
		complete = complete && up == len(c.agents) && judged == len(c.agents)
		words[i] = fmt.Sprintf("%s sees %d of %d up, %d etcd verdicts", a.Name, up, len(c.agents), judged)
	}
	return complete, strings.Join(words, "; ")
}

// sees counts, on one agent's /metrics, the nodes that are up and those whose
// check of etcd has spoken.
func sees(ctx context.Context, a *real.Agent) (up, judged int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	families, err := a.Scrape(ctx, "/metrics")
	if err != nil {
		return 0, 0, err
	}
	for _, m := range families["grapevine_node_up"].GetMetric() {
		if m.GetGauge().GetValue() == 1 {
			up++
		}
	}
	nodes := map[string]bool{}
	for _, m := range families["grapevine_check_status"].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["check"] == "etcd" {
			nodes[labels["node"]] = true
		}
	}
	return up, len(nodes), nil
}

// lastWords are the ends of the agents' logs, for an error.
func (c *cluster) lastWords() string {
	var b strings.Builder
	for _, a := range c.agents {
		lines := strings.Split(strings.TrimSpace(a.Log()), "\n")
		fmt.Fprintf(&b, "--- %s\n%s\n", a.Name, strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	return b.String()
}

// stop ends the agents first, all at once, so that none of them has to
// report the end of etcd.
func (c *cluster) stop() error {
	ends := make([]error, len(c.agents))
	var wg sync.WaitGroup
	for i, a := range c.agents {
		wg.Go(func() { ends[i] = a.Stop() })
	}
	wg.Wait()
	err := errors.Join(ends...)
	if c.etcd != nil {
		err = errors.Join(err, c.etcd.Stop())
	}
	for _, f := range c.logs {
		err = errors.Join(err, f.Close())
	}
	return err
}
