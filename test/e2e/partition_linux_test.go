package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/test/netsim"
)

// inTime is what the operator is promised: a split is seen, and a healed one
// is over, within that time. A loaded machine gets more from the tests, which
// print what it took.
const inTime = 15 * time.Second

// sides cuts a cluster of eight into three and five.
func (h *hosts) sides() (left, right []*hostAgent) { return h.agents[:3], h.agents[3:] }

func namesOf(agents []*hostAgent) []string {
	var names []string
	for _, a := range agents {
		names = append(names, a.host.Name)
	}
	return names
}

// between changes the links from each of some hosts to each of others, and
// back.
func (h *hosts) between(left, right []int, l netsim.Link) {
	for _, i := range left {
		for _, j := range right {
			h.Link(i, j, l)
			h.Link(j, i, l)
		}
	}
}

// whole waits until every agent reaches every other, and nothing is cut.
func (h *hosts) whole(what string, alive bool) time.Duration {
	h.t.Helper()
	return eventually(h.t, what, func(ctx context.Context) error {
		return every(ctx, h.agents, func(ctx context.Context, a *hostAgent) error {
			s, err := a.status(ctx)
			if err != nil {
				return err
			}
			if p := s.Partition; p.Up != len(h.agents) || len(p.Reached) != len(h.agents) || len(p.Findings) > 0 {
				return fmt.Errorf("%+v", p)
			}
			for _, n := range s.Nodes {
				if alive && n.Member != "alive" {
					return fmt.Errorf("the gossip says that %s is %s", n.Node, n.Member)
				}
			}
			for _, p := range s.Problems {
				if p.Check == "mesh" {
					return fmt.Errorf("%+v", p)
				}
			}
			return nil
		})
	})
}

// names waits until each of agents has a finding of that kind with all of
// words in its reason.
func (h *hosts) names(agents []*hostAgent, kind string, words ...string) time.Duration {
	h.t.Helper()
	return eventually(h.t, fmt.Sprintf("%v name %s %q", namesOf(agents), kind, words), func(ctx context.Context) error {
		return every(ctx, agents, func(ctx context.Context, a *hostAgent) error {
			s, err := a.status(ctx)
			if err != nil {
				return err
			}
			for _, f := range s.Partition.Findings {
				if f.Kind == kind && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(f.Reason, word) }) {
					return nil
				}
			}
			return fmt.Errorf("%+v", s.Partition)
		})
	})
}

// TestPartition splits eight hosts into three and five.
func TestPartition(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 8, "--mesh.stale-after=20s")
	h.whole("eight hosts are one mesh", true)
	left, right := h.sides()

	h.between([]int{1, 2, 3}, []int{4, 5, 6, 7, 8}, netsim.Link{Cut: true})
	began := time.Now()
	seen := eventually(t, "both sides see the split", func(ctx context.Context) error {
		return every(ctx, h.agents, func(ctx context.Context, a *hostAgent) error {
			own, other := left, right
			if !slices.Contains(left, a) {
				own, other = right, left
			}
			s, err := a.status(ctx)
			if err != nil {
				return err
			}
			p := s.Partition
			if !slices.Equal(p.Reached, namesOf(own)) || !slices.Equal(p.OtherSide, namesOf(other)) || s.Status != "critical" {
				return fmt.Errorf("%+v", p)
			}
			if off := p.Since.Sub(began); off < -6*time.Second || off > 3*time.Second {
				return fmt.Errorf("split since %v, which is %v after it was made", p.Since, off)
			}
			return nil
		})
	})
	promised(t, "the split is seen", seen)

	// An operator on the smaller side.
	out, code := left[0].grapevine(t, "status")
	if code != 2 || !strings.Contains(out, "3 of 8 members on this side (n1, n2, n3), 5 on the other (n4, n5, n6, n7, n8)") {
		t.Errorf("status of the smaller side: exit code %d", code)
	}
	// Prometheus on either side: its own side is fresh, the other ages.
	for _, side := range []struct {
		asked      *hostAgent
		own, other []*hostAgent
	}{{left[1], left, right}, {right[2], right, left}} {
		var before map[string]float64
		eventually(t, "the other side is down for "+side.asked.host.Name, func(ctx context.Context) error {
			families, err := side.asked.scrape(ctx)
			if err != nil {
				return err
			}
			up, ages := byNode(families["grapevine_node_up"]), byNode(families["grapevine_node_snapshot_age_seconds"])
			for _, a := range side.own {
				if up[a.host.Name] != 1 || ages[a.host.Name] > 12 {
					return fmt.Errorf("%s of the own side: up %v, age %v", a.host.Name, up[a.host.Name], ages[a.host.Name])
				}
			}
			for _, a := range side.other {
				if up[a.host.Name] != 0 || ages[a.host.Name] <= before[a.host.Name] {
					before = ages
					return fmt.Errorf("%s of the other side: up %v, age %v", a.host.Name, up[a.host.Name], ages[a.host.Name])
				}
			}
			return nil
		})
		eventually(t, "the other side's series end for "+side.asked.host.Name, func(ctx context.Context) error {
			families, err := side.asked.scrape(ctx)
			if err != nil {
				return err
			}
			series := byNode(families["grapevine_mesh_partition_members_reached"])
			for _, a := range side.own {
				if series[a.host.Name] != float64(len(side.own)) {
					return fmt.Errorf("%s says that it reaches %v", a.host.Name, series[a.host.Name])
				}
			}
			for _, a := range side.other {
				if _, there := series[a.host.Name]; there {
					return fmt.Errorf("series of %s are still there", a.host.Name)
				}
			}
			up, other := byNode(families["grapevine_node_up"]), byNode(families["grapevine_mesh_partition_members_other_side"])
			looking, reaching := byNode(families["grapevine_node_observers"]), byNode(families["grapevine_node_observers_reaching"])
			far, near := side.other[0].host.Name, side.own[0].host.Name
			if v, there := up[far]; v != 0 || !there || other[near] != float64(len(side.other)) {
				return fmt.Errorf("up of %s: %v, other side of %s: %v", far, v, near, other[near])
			}
			if looking[far] != float64(len(side.own)) || reaching[far] != 0 || reaching[near] != float64(len(side.own)-1) {
				return fmt.Errorf("%s is reached by %v of %v, %s by %v", far, reaching[far], looking[far], near, reaching[near])
			}
			return nil
		})
	}

	h.Heal()
	promised(t, "it is healed", h.whole("eight hosts are one mesh again", true))
	if out, code := left[0].grapevine(t, "status"); strings.Contains(out, "split") || code != 0 {
		t.Errorf("after the healing: exit code %d", code)
	}
}

// promised prints how long something took, and fails when it was so long that
// the machine cannot be the cause.
func promised(t *testing.T, what string, took time.Duration) {
	t.Helper()
	t.Logf("%s after %.1f s; promised are %v", what, took.Seconds(), inTime)
	if took > 4*inTime {
		t.Errorf("%s after %v only", what, took)
	}
}

// TestCuts makes cuts that are no split of the whole, one after the other:
// each is named, by both its ends and from elsewhere.
func TestCuts(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 8)
	h.whole("eight hosts are one mesh", true)
	three, five := []int{1, 2, 3}, []int{4, 5, 6, 7, 8}
	some := []*hostAgent{h.agents[0], h.agents[1], h.agents[7]}

	h.Link(1, 2, netsim.Link{Cut: true})
	h.Link(4, 3, netsim.Link{Cut: true})
	h.between([]int{5}, []int{8}, netsim.Link{Drop: netsim.TCPTo(hostExchange)})
	named := h.names(some, "one-way", "packets from n1 to n2 get lost, those from n2 to n1 arrive")
	promised(t, "a cut in one direction is named", named)
	h.names(some, "one-way", "packets from n4 to n3 get lost, those from n3 to n4 arrive")
	h.names(some, "exchange", "the exchange between n5 and n8 fails while the gossip works")
	// By the check, it is a verdict of both ends.
	eventually(t, "n1 and n2 warn of it, and n6 passes it on", func(ctx context.Context) error {
		s, err := h.agents[5].status(ctx)
		if err != nil {
			return err
		}
		var nodes []string
		for _, p := range s.Problems {
			if p.Check == "mesh" && p.Subject == "one-way" && p.Status == "warning" {
				nodes = append(nodes, p.Node)
			}
		}
		if slices.Sort(nodes); !slices.Equal(nodes, []string{"n1", "n2", "n3", "n4"}) || s.Status != "warning" {
			return fmt.Errorf("%s: %+v", s.Status, s.Problems)
		}
		return nil
	})
	h.Heal()
	promised(t, "they are healed", h.whole("healed after cuts between two", true))

	gossip := func(frame []byte) bool {
		return netsim.UDPTo(hostGossip)(frame) || netsim.TCPTo(hostGossip)(frame)
	}
	h.between(three, five, netsim.Link{Drop: gossip})
	named = h.names(h.agents, "gossip", "the gossip between n1, n2, n3 and n4, n5, n6, n7, n8 fails while the exchange works")
	promised(t, "a gossip-only cut is named", named)
	if s, err := h.agents[0].status(t.Context()); err != nil || len(s.Partition.Reached) != 8 {
		t.Errorf("by a gossip-only cut n1 is left with %+v, %v", s.Partition, err)
	}
	h.Heal()
	promised(t, "it is healed", h.whole("healed after a gossip-only cut", true))

	h.between(three, five, netsim.Link{Drop: netsim.TCPTo(hostExchange)})
	named = h.names(h.agents, "split", "the gossip passes between them and the exchange does not")
	promised(t, "an exchange-only cut is named", named)
	h.Heal()
	promised(t, "it is healed", h.whole("healed after an exchange-only cut", true))
}

// TestDeadHost tells a host that dies from a split, and one whose agent is
// killed from one that is gone.
func TestDeadHost(t *testing.T) {
	t.Parallel()
	h := newHosts(t, 4)
	h.whole("four hosts are one mesh", true)
	if err := h.agents[3].Kill(); err != nil {
		t.Fatal(err)
	}
	h.Link(0, 3, netsim.Link{Cut: true})
	h.Link(3, 0, netsim.Link{Cut: true})
	two := h.agents[:2]
	h.names(two, "unreachable", "n4 is not reached: its host answers that no agent listens there")
	h.names(two, "unreachable", "n3 is not reached by any of the 2 that look at it: it is down, or cut off alone")
	h.names(h.agents[2:3], "split", "n3 is cut off from all")
	s, err := two[0].status(t.Context())
	if err != nil || len(s.Partition.OtherSide) > 0 || !slices.Equal(s.Partition.Down, []string{"n3", "n4"}) {
		t.Errorf("n1 has %+v, %v", s.Partition, err)
	}
	for _, n := range s.Nodes {
		if n.Node == "n3" && (n.Observers.Looking != 2 || !slices.Equal(n.Observers.Failing, []string{"n1", "n2"})) {
			t.Errorf("observers of n3: %+v", n.Observers)
		}
	}
}
