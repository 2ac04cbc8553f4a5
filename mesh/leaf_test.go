package mesh

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// zoned starts so many nodes in each of two zones, with no bytes to spare.
func zoned(t *bubble, each int) map[string]*peer {
	t.Helper()
	peers := map[string]*peer{}
	var seed string
	for i := range each {
		for _, zone := range []string{"east", "west"} {
			cfg := t.config(fmt.Sprintf("%s-%d", zone, i))
			cfg.Tags, cfg.ByteBudget = map[string]string{TagZone: zone}, 1
			if seed != "" {
				cfg.Join = []string{seed}
			}
			p := start(t, cfg)
			if seed == "" {
				seed = p.GossipAddr()
			}
			peers[cfg.Node] = p
		}
	}
	return peers
}

func names(peers map[string]*peer) []string {
	var names []string
	for name := range peers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// settled waits until every node has the role that all agree on, and returns
// aggregators and leaves by name.
func settled(t *bubble, peers map[string]*peer) (aggregators, leaves []string) {
	t.Helper()
	members := map[string]Member{}
	for name, p := range peers {
		members[name] = Member{State: MemberAlive, Exchange: "x", Tags: p.cfg.Tags}
	}
	for name, p := range peers {
		want := &roles{self: name, budget: 1}
		want.sizes(100)
		role, _ := want.update(members, everySecond)
		_, _, all := want.now()
		p.eventually("is "+role.String(), func() (string, bool) {
			got, _, chosen := p.roles.now()
			return fmt.Sprint(got, chosen), got == role && slices.Equal(chosen, all)
		})
		if role == Aggregator {
			aggregators = append(aggregators, name)
		} else {
			leaves = append(leaves, name)
		}
	}
	slices.Sort(aggregators)
	slices.Sort(leaves)
	return aggregators, leaves
}

// bare counts the nodes of which p holds the verdicts only.
func (p *peer) bare() int {
	n := 0
	for _, held := range p.store.Nodes() {
		if held.Bare {
			n++
		}
	}
	return n
}

// knows waits until p knows all of them as up, with their verdict, and holds
// the values of so many of the others.
func (p *peer) knows(all []string, values int) {
	p.t.Helper()
	p.eventually(fmt.Sprintf("knows all %d nodes, with the values of %d others", len(all), values), func() (string, bool) {
		v := p.View()
		up := 0
		for _, n := range v.Nodes {
			if n.Up && n.Snapshot != nil && len(n.Snapshot.Results) > 0 && n.Snapshot.Results[0].Status == health.Critical {
				up++
			}
		}
		got := len(v.Nodes) - 1 - p.bare()
		return fmt.Sprintf("%d up, values of %d", up, got), up == len(all) && len(v.Nodes) == len(all) && got == values
	})
}

// Above the budget some hold everything; the others hold all verdicts, with
// their ages, and nobody's values but their own.
func TestLeavesAndAggregators(t *testing.T) {
	virtually(t, func(t *bubble) {
		peers := zoned(t, 6)
		all := names(peers)
		aggregators, leaves := settled(t, peers)
		if len(aggregators) != 6 || len(leaves) != 6 {
			t.Fatalf("aggregators are %v, leaves %v", aggregators, leaves)
		}
		for _, name := range aggregators {
			peers[name].knows(all, len(all)-1)
			if peers[name].View().Partial {
				t.Errorf("%s, an aggregator, has but part", name)
			}
		}
		for _, name := range leaves {
			p := peers[name]
			p.knows(all, 0)
			v := p.View()
			if !v.Partial {
				t.Errorf("%s, a leaf, claims to have all", name)
			}
			own, _ := v.Node(name)
			if len(own.Snapshot.Values) != 1 {
				t.Errorf("%s has %v as its own values", name, own.Snapshot.Values)
			}
			holders := p.Holders()
			slices.Sort(holders)
			if !slices.Equal(holders, aggregators) {
				t.Errorf("%s would ask %v, the aggregators are %v", name, holders, aggregators)
			}
		}
		if p := peers[leaves[0]]; p.count("grapevine_mesh_role", "leaf") != 1 || p.count("grapevine_mesh_role", "full") != 0 {
			t.Error("a leaf's metric says otherwise")
		}

		// A verdict that changes on one leaf is known on all, with its age.
		const ago = 10 * time.Second
		said := time.Now()
		peers[leaves[0]].also.Store(&health.Result{
			Check: "disk", Subject: "/", Status: health.Warning, Reason: "filling up", Observed: said.Add(-ago), Since: said.Add(-ago),
		})
		for _, name := range all {
			var shown health.Result
			p := peers[name]
			p.eventually("hears of the disk", func() (string, bool) {
				v := p.View()
				n, _ := v.Node(leaves[0])
				for _, r := range n.Snapshot.Results {
					if r.Check == "disk" {
						shown = r
						return "", true
					}
				}
				return fmt.Sprint(n.Snapshot.Results), false
			})
			if off := shown.Observed.Sub(said.Add(-ago)); shown.Reason != "filling up" || off.Abs() > glance {
				t.Errorf("%s: observed %v after it was: %+v", name, off, shown)
			}
		}

		// A node that dies is known as dead, and its age grows.
		dead := leaves[1]
		peers[dead].stop()
		delete(peers, dead)
		for _, name := range names(peers) {
			peers[name].eventually("forgets who said goodbye", func() (string, bool) {
				v := peers[name].View()
				n, known := v.Node(dead)
				return fmt.Sprintf("%+v", n), !known
			})
		}

		// An aggregator goes, and another takes its place.
		gone := aggregators[0]
		peers[gone].stop()
		delete(peers, gone)
		if now, _ := settled(t, peers); len(now) != 6 || slices.Contains(now, gone) {
			t.Errorf("without %s the aggregators are %v", gone, now)
		}
		for _, name := range leaves[2:] {
			values := 0
			if role, _, _ := peers[name].roles.now(); role == Aggregator {
				values = len(peers) - 1
			}
			peers[name].knows(names(peers), values)
		}
	})
}

// Without a budget everybody holds everything.
func TestNoBudgetNoLeaves(t *testing.T) {
	virtually(t, func(t *bubble) {
		a := together(t, "a", "b")[0]
		if a.View().Partial || a.bare() != 0 || a.count("grapevine_mesh_role", "full") != 1 {
			t.Error("a holds but part of what b says")
		}
	})
}

// A leaf reaches another node by name, and both know who the other is.
func TestPipe(t *testing.T) {
	virtually(t, func(t *bubble) {
		peers := together(t, "a", "b")
		a, b := peers[0], peers[1]
		if c, err := b.Pipe(t.Context(), "a"); err == nil {
			_ = c.Close()
			t.Error("a takes a pipe that nobody there serves")
		}
		listener := a.Pipes()
		defer listener.Close()
		served := make(chan error, 1)
		go func() {
			c, err := listener.Accept()
			if err == nil {
				_, err = io.Copy(c, io.LimitReader(c, 5))
				_ = c.Close()
			}
			served <- err
		}()
		c, err := b.Pipe(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); string(got) != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if c, err := b.Pipe(t.Context(), "nobody"); err == nil {
			_ = c.Close()
			t.Error("nobody answered")
		}
	})
}
