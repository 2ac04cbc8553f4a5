package mesh

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/meshtest"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "TestSimulation runs this seed only")
	agentsFlag = flag.Int("agents", 0, "TestSimulation runs so many agents, with -seed")
)

// simulations are the seeds that always run. Whoever finds a new one that
// fails adds it here, with what it found.
var simulations = []struct {
	seed   uint64
	agents int
	found  string
}{
	{1, 100, ""},
	{2, 16, "late words of a stream that was cut looked as young as when they were sent"},
	{21, 14, "a node that came back was leaving to some others, for good: goodbyes"},
	{42, 14, "two joins at a time"},
}

// TestSimulation runs whole clusters through faults that follow from a seed,
// heals them, and holds what every node shows against the truth all the time.
// Beside the seeds of the table it runs one that nobody has seen before, but
// in CI, which is to say the same of the same tree.
//
//	go test -race ./mesh -run TestSimulation -seed=N [-agents=M]
func TestSimulation(t *testing.T) {
	run := func(seed uint64, agents int, found string) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			began := time.Now()
			synctest.Test(t, func(t *testing.T) { simulate(t, seed, agents) })
			t.Logf("%d agents, %.1f s", agents, time.Since(began).Seconds())
			if t.Failed() {
				t.Logf("it fails with this seed; keep it in the table of simulations:\n\t{%d, %d, \"\"},\n%s", seed, agents, found)
			}
		})
	}
	if *seedFlag != 0 {
		run(*seedFlag, max(2, *agentsFlag), "")
		return
	}
	if raceDetector { // it makes everything several times slower: make simulate runs the table without it
		run(2, 6, "")
		return
	}
	for _, s := range simulations {
		run(s.seed, s.agents, s.found)
	}
	if os.Getenv("CI") == "" {
		run(rand.Uint64()>>1, 14, "")
	}
}

// simulate is one run.
func simulate(t *testing.T, seed uint64, agents int) {
	s := newSimulated(t, seed)
	defer s.stop()
	if seed%2 == 1 {
		s.ca = newAuthority(t)
	}
	if seed%4 < 2 {
		s.shape.GossipKeys = [][]byte{make([]byte, 32)}
	}
	trouble := 5 * time.Minute
	if agents > 50 { // what a hundred say to a hundred costs the time of a test
		s.shape.PublishInterval, s.shape.ExchangeInterval, s.shape.StaleAfter = 45*time.Second, 10*time.Second, 5*time.Minute
		trouble = time.Minute
	}
	c := &chaos{simulated: s, least: agents * 2 / 3, most: agents * 4 / 3}
	for range 3 {
		c.join()
		s.seedHere(c.nodes[len(c.nodes)-1].addr)
	}
	for range agents - 3 { // all at once: a join storm
		c.join()
	}
	stop := s.watch(max(5, agents/5))
	defer stop()
	t.Logf("%d agents agree after %v", agents, s.agree(3*time.Minute))

	for until := time.Now().Add(trouble); time.Now().Before(until) && !t.Failed(); {
		c.step()
		time.Sleep(time.Second + time.Duration(s.random.Int64N(int64(12*time.Second))))
	}
	c.heal()
	t.Logf("healed: agree after %v", s.agree(5*time.Minute))
	time.Sleep(4 * s.shape.PublishInterval) // whose name was taken says more than the other did
	t.Logf("all views are equal after %v", s.same(40*time.Second))
	s.agree(time.Minute)
	stop()
	for _, a := range s.running() {
		a.check()
	}
	s.bounded()
	t.Logf("no view took a word for more than %v younger than it was; sent: %+v", s.worst, s.network.Sent())
}

// chaos does to a cluster what the seed says.
type chaos struct {
	*simulated
	nodes       []*agent // those running, impostors and strangers not among them
	gone        []departed
	unwanted    []*agent // strangers and impostors
	named       int
	least, most int
}

// departed is a node that does not run now.
type departed struct {
	name, disk string
	addr       netip.Addr
}

func (c *chaos) join() {
	c.named++
	c.nodes = append(c.nodes, c.add(fmt.Sprintf("node-%03d", c.named)))
}

// some draws a running node.
func (c *chaos) some() *agent { return c.nodes[c.random.IntN(len(c.nodes))] }

// remove draws a running node and takes it out of the list. It is never the
// first: one seed is there to be found by whoever comes.
func (c *chaos) remove() *agent {
	i := 1 + c.random.IntN(len(c.nodes)-1)
	a := c.nodes[i]
	c.nodes = append(c.nodes[:i], c.nodes[i+1:]...)
	return a
}

// comeBack starts a departed node again.
func (c *chaos) comeBack(addr netip.Addr, disk string, d departed, change ...func(*Config)) {
	c.nodes = append(c.nodes, c.start(d.name, addr, disk, change...))
}

// departed draws one of those that are gone and takes it out of the list.
func (c *chaos) departed() departed {
	i := c.random.IntN(len(c.gone))
	d := c.gone[i]
	c.gone = append(c.gone[:i], c.gone[i+1:]...)
	return d
}

// step does one thing.
func (c *chaos) step() {
	many, few := len(c.nodes) > c.least, len(c.nodes) < c.most
	back := len(c.gone) > 0 && few
	switch k := c.random.IntN(18); {
	case k == 0 && many:
		a := c.remove()
		c.logf("%s crashes", a.name)
		c.gone = append(c.gone, departed{a.name, a.crash(), a.addr})
	case k == 1 && many:
		a := c.remove()
		c.logf("%s loses power", a.name)
		c.gone = append(c.gone, departed{a.name, a.powerOff(), a.addr})
	case k == 2 && many:
		a := c.remove()
		c.logf("%s leaves", a.name)
		a.leave()
		c.gone = append(c.gone, departed{a.name, a.cfg.StoragePath, a.addr})
	case k == 3 && back:
		d := c.departed()
		c.logf("%s comes back", d.name)
		c.comeBack(d.addr, d.disk, d)
	case k == 4 && back:
		d := c.departed()
		c.logf("%s comes back with an empty disk", d.name)
		c.comeBack(d.addr, c.t.TempDir(), d)
	case k == 5 && back:
		d := c.departed()
		c.logf("%s comes back at another address", d.name)
		c.comeBack(c.address(), d.disk, d)
	case k == 6 && many:
		a := c.remove()
		c.logf("%s crashes and is back at once", a.name)
		c.comeBack(a.addr, a.crash(), departed{name: a.name})
	case k == 7 && few:
		n := 1 + c.random.IntN(max(1, c.most-len(c.nodes)))
		c.logf("%d nodes join at once", n)
		for range n {
			c.join()
		}
	case k == 8:
		sides := make([][]netip.Addr, 2+c.random.IntN(2))
		for _, a := range c.nodes {
			i := c.random.IntN(len(sides))
			sides[i] = append(sides[i], a.addr)
		}
		c.logf("a split into %d", len(sides))
		c.network.Split(sides...)
	case k == 9:
		a, b := c.some(), c.some()
		c.logf("nothing passes from %s to %s", a.name, b.name)
		c.network.Set(a.addr, b.addr, meshtest.Fault{Cut: true})
	case k == 10:
		a, out := c.some(), c.random.IntN(2) == 0
		c.logf("nothing passes from (%v) or to %s", out, a.name)
		c.all(a, out, meshtest.Fault{Cut: true})
	case k == 11:
		a, out := c.some(), c.random.IntN(2) == 0
		f := meshtest.Fault{Loss: 0.4 * c.random.Float64(), Delay: time.Duration(c.random.Int64N(int64(800 * time.Millisecond)))}
		c.logf("%+v from (%v) or to %s", f, out, a.name)
		c.all(a, out, f)
	case k == 12:
		a := c.some()
		c.logf("%s hangs: %v", a.name, !a.frozen.Load())
		a.freeze(!a.frozen.Load())
	case k == 13:
		a := c.some()
		a.jump.Store(c.random.Int64N(2*366*24*3600) - 366*24*3600)
		c.logf("the clock of %s jumps to %v", a.name, a.now())
	case k == 14:
		a := c.remove()
		c.logf("%s gets a newer program", a.name)
		a.leave()
		c.comeBack(a.addr, a.cfg.StoragePath, departed{name: a.name}, func(cfg *Config) { cfg.Version = "2.0.0" })
	case k == 15 && len(c.unwanted) < 3:
		a := c.some()
		c.logf("another %s appears", a.name)
		c.conflicted[a.name] = true
		i := c.add(a.name)
		i.unwanted.Store(true)
		c.unwanted = append(c.unwanted, i)
	case k == 16 && len(c.unwanted) < 3:
		addr := c.address()
		if len(c.gone) > 0 { // a machine that is put to a new use
			addr = c.departed().addr
		}
		c.logf("an agent of another cluster at %v", addr)
		c.unwanted = append(c.unwanted, c.start(fmt.Sprint("stranger-", c.named), addr, c.t.TempDir(), func(cfg *Config) { cfg.Cluster = "other" }))
	default:
		c.logf("the network heals")
		c.network.Heal()
	}
}

// all puts a fault on all links from a node, or on all to it.
func (c *chaos) all(a *agent, out bool, f meshtest.Fault) {
	for _, b := range c.nodes {
		if out {
			c.network.Set(a.addr, b.addr, f)
		} else {
			c.network.Set(b.addr, a.addr, f)
		}
	}
}

// heal ends every fault. Agents of another cluster go on trying.
func (c *chaos) heal() {
	c.logf("all heals")
	c.network.Heal()
	for _, a := range c.nodes {
		a.freeze(false)
	}
	for _, a := range c.unwanted {
		if a.cfg.Cluster == c.shape.Cluster {
			a.crash()
		}
	}
}

func (c *chaos) logf(format string, args ...any) {
	c.t.Logf("%s: %s", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}
