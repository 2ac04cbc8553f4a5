package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What the system that this one succeeds is known to have failed at, each in
// virtual time.

// few starts agents a, b, c and so on, the first of them a seed.
func (s *simulated) few(n int) []*agent {
	s.t.Helper()
	var agents []*agent
	for i := range n {
		agents = append(agents, s.add(string(rune('a'+i))))
		if i == 0 {
			s.seedHere(agents[0].addr)
		}
	}
	s.agree(time.Minute)
	return agents
}

// shows waits until a shows exactly these as up.
func (a *agent) shows(within time.Duration, names ...string) {
	a.s.t.Helper()
	a.s.eventually(within, fmt.Sprintf("%s shows %v as up", a.name, names), func() (string, bool) {
		got := a.ups()
		return fmt.Sprint(got), slices.Equal(got, names)
	})
}

func addresses(agents ...*agent) []netip.Addr {
	var out []netip.Addr
	for _, a := range agents {
		out = append(out, a.host.Addr())
	}
	return out
}

// A cluster was split for more than a day, and both sides called themselves
// healthy. Here each side says all the time that the other is missing, and
// they find each other again by themselves, also after they have forgotten
// each other. What a day is to a cluster is ForgetAfter, here 10 minutes: a
// whole day of four nodes takes two minutes of real time.
func TestSplitForLongerThanMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t, 1)
		defer s.stop()
		s.shape.ForgetAfter = 10 * time.Minute
		n := s.few(4)
		stop := s.watch(4)
		defer stop()
		s.network.Split(addresses(n[:2]...), addresses(n[2:]...))
		split := time.Now()
		n[0].shows(3*time.Minute, "a", "b")
		n[2].shows(3*time.Minute, "c", "d")
		for time.Since(split) < 2*s.shape.ForgetAfter {
			time.Sleep(time.Minute)
			for i, a := range n {
				want := []string{"a", "b"}
				if i >= 2 {
					want = []string{"c", "d"}
				}
				if got := a.ups(); !slices.Equal(got, want) {
					t.Fatalf("%s shows as up %v", a.name, got)
				}
				nodes := a.View().Nodes
				for _, other := range nodes {
					if !other.Up && other.Snapshot != nil && other.Age > s.shape.StaleAfter {
						t.Errorf("%s shows data of %s, of the other side", a.name, other.Name)
					}
				}
				if since := time.Since(split); len(nodes) != 4 && since < s.shape.ForgetAfter-time.Minute || len(nodes) != 2 && since > s.shape.ForgetAfter+5*time.Minute {
					t.Errorf("after %v %s knows %d nodes", since, a.name, len(nodes))
				}
			}
		}
		s.network.Heal()
		t.Logf("whole again after %v", s.agree(3*time.Minute))
		s.same(20 * time.Second)
	})
}

// A member that had failed lingered for ever. Here its data ends when it is
// stale, and the node is forgotten by everybody after ForgetAfter, at once if
// it has said goodbye; and neither comes back from somebody who was away.
func TestFailedMemberIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t, 2)
		defer s.stop()
		s.shape.ForgetAfter = 10 * time.Minute
		n := s.few(5)
		away := n[4]
		s.network.Split(addresses(n[:4]...), addresses(away))
		time.Sleep(3 * time.Minute)
		n[2].crash()
		n[3].leave()
		time.Sleep(10 * time.Second)
		if _, known := n[0].node("d"); known {
			t.Error("d has said goodbye and is still there")
		}
		time.Sleep(3 * time.Minute)
		if c, known := n[0].node("c"); !known || c.Up || c.Snapshot != nil {
			t.Errorf("3 minutes after its death c is %+v, known %v", c, known)
		}
		// Who was away has not heard of the goodbye.
		s.network.Heal()
		for _, a := range []*agent{n[0], n[1], away} {
			a.shows(3*time.Minute, "a", "b", "e")
		}
		time.Sleep(s.shape.ForgetAfter + 2*time.Minute)
		for _, a := range []*agent{n[0], n[1], away} {
			for _, gone := range []string{"c", "d"} {
				if got, known := a.node(gone); known {
					t.Errorf("%v later %s still has %+v", s.shape.ForgetAfter, a.name, got)
				}
			}
		}
	})
}

func (a *agent) node(name string) (Node, bool) {
	view := a.View()
	return view.Node(name)
}

// Two clusters merged when a machine went from one to the other. Here it takes
// nothing along, neither its old peers nor its old data, and the old cluster
// at whose addresses it stood takes nothing of the new one.
func TestMachineGoesToAnotherCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t, 3)
		defer s.stop()
		n := s.few(3)
		other := func(cfg *Config) {
			cfg.Cluster = "other"
			cfg.Join = []string{"10.0.9.1:7996"}
		}
		x := s.start("x", netip.MustParseAddr("10.0.9.1"), t.TempDir(), other)
		disk := n[2].crash()
		// The same machine with the same disk and name, in the other cluster.
		moved := s.start("c", n[2].addr, disk, other)
		for range 20 {
			time.Sleep(time.Minute)
			for _, a := range []*agent{x, moved} {
				for _, known := range a.View().Nodes {
					if known.Name != "x" && known.Name != "c" {
						t.Fatalf("%s of the other cluster knows %s", a.name, known.Name)
					}
				}
			}
			for _, a := range n[:2] {
				a.check()
				if _, known := a.node("x"); known {
					t.Fatalf("%s knows a node of the other cluster", a.name)
				}
				if c, _ := a.node("c"); c.Up {
					t.Fatalf("%s calls c up, who is in the other cluster", a.name)
				}
			}
		}
		moved.shows(time.Minute, "c", "x")
		n[0].shows(0, "a", "b")
	})
}

// A connection that hung left the last healthy status of a peer standing. Here
// it ends with its age, whatever the connection does, and one hung peer keeps
// nobody else's news from coming.
func TestHungPeer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t, 4)
		defer s.stop()
		n := s.few(5)
		stop := s.watch(1)
		defer stop()
		n[4].freeze(true) // the kernel still takes connections
		for _, a := range n[:4] {
			a.shows(70*time.Second, "a", "b", "c", "d")
		}
		time.Sleep(5 * time.Minute)
		for _, a := range n[:4] {
			if e, _ := a.node("e"); e.Snapshot != nil || e.Up || e.Age < 5*time.Minute {
				t.Errorf("%s shows of the hung peer: up %v, age %v, snapshot %v", a.name, e.Up, e.Age, e.Snapshot)
			}
			for _, other := range a.View().Nodes {
				if other.Name != "e" && other.Age > 20*time.Second {
					t.Errorf("%s has of %s a word that is %v old", a.name, other.Name, other.Age)
				}
			}
		}
		n[4].freeze(false)
		s.agree(2 * time.Minute)
	})
}

// Peers whose address had changed were never found again. Here a node comes
// back at another address under its old name, right after a crash and long
// after, and all at once.
func TestAddressesChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t, 5)
		defer s.stop()
		n := s.few(5)
		stop := s.watch(1)
		defer stop()
		found := func(moved ...*agent) time.Duration {
			t.Helper()
			began := time.Now()
			s.eventually(4*time.Minute, "everybody has the new addresses", func() (string, bool) {
				for _, a := range n {
					for _, b := range moved {
						if m, _ := a.gossip.member(b.name); m.Exchange != b.cfg.Exchange {
							return fmt.Sprintf("%s has %s at %s", a.name, b.name, m.Exchange), false
						}
					}
				}
				return "", true
			})
			s.agree(4 * time.Minute)
			return time.Since(began)
		}
		for i, pause := range []time.Duration{0, 10 * time.Second, 10 * time.Minute} {
			disk := n[i+1].powerOff()
			time.Sleep(pause)
			n[i+1] = s.start(n[i+1].name, s.address(), disk)
			t.Logf("after a pause of %v: found after %v", pause, found(n[i+1]))
		}
		// All but the seed at once: the addresses that they remember are void.
		var disks []string
		for _, a := range n[1:] {
			disks = append(disks, a.powerOff())
		}
		for i, disk := range disks {
			n[i+1] = s.start(n[i+1].name, s.address(), disk)
		}
		t.Logf("all at once: found after %v", found(n[1:]...))
	})
}

// A node that restarted showed old data as new. Here what it said before is
// older than what it says now, though its disk is lost and the others still
// hold the old; and nobody takes the old for new on the way.
func TestRestartDoesNotShowOldAsNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulated(t, 6)
		defer s.stop()
		n := s.few(4)
		stop := s.watch(1)
		defer stop()
		for range 3 { // so that its epoch is high
			n[3] = s.start("d", n[3].addr, n[3].crash())
			s.agree(2 * time.Minute)
		}
		before, _ := n[0].node("d")
		n[3].crash()
		// c is away meanwhile, and holds the old for longest.
		s.network.Split(addresses(n[0], n[1], n[3]), addresses(n[2]))
		time.Sleep(30 * time.Second)
		d := s.start("d", n[3].addr, t.TempDir())
		d.shows(2*time.Minute, "a", "b", "d")
		n[0].shows(2*time.Minute, "a", "b", "d")
		s.network.Heal()
		s.agree(2 * time.Minute)
		time.Sleep(4 * s.shape.PublishInterval) // the old word may count as up until d has heard of it
		s.same(20 * time.Second)
		for _, a := range []*agent{n[0], n[1], n[2], d} {
			after, _ := a.node("d")
			if after.Epoch <= before.Epoch {
				t.Errorf("%s: d was in epoch %d and is in %d, with an empty disk", a.name, before.Epoch, after.Epoch)
			}
		}
		if strings.Contains(d.log.String(), "panic") {
			t.Error(d.log)
		}
	})
}
