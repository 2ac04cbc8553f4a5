package smoke

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/schedule"
)

// fleet is nodes with the check, each run by a real schedule, in virtual time.
// What one says is with all others at once.
type fleet struct {
	t     *testing.T
	s     CheckSettings
	nodes map[string]*fleetNode

	mu   sync.Mutex // guards what follows, and the nodes
	made []madeRun
}

type madeRun struct {
	by   string
	at   time.Time
	turn uint64
}

type fleetNode struct {
	name   string
	fleet  *fleet
	check  *check
	runs   *schedule.Schedule
	stop   func()
	reg    *prometheus.Registry
	side   int // of a split
	dead   bool
	quiet  map[string]quiet // of nodes that this one does not hear any more
	others []health.Result  // of its other checks

	latency time.Duration      // of the API server, as seen from here
	outcome func(n int) []Step // of its run of that number, from 1 on; nil: all is well
	after   func(*Report, int) // may change what a run came to; nil: does not
	hang    chan struct{}      // its runs end when this is closed; nil: they do not hang
	count   int
}

// quiet is the last that was heard of a node.
type quiet struct {
	since   time.Time
	results []health.Result
}

// staleAfter is when the mesh drops what was last heard of a node.
const staleAfter = 2 * time.Minute

// inFleet runs f beside nodes that are named a, b, c and so on.
func inFleet(t *testing.T, size int, f func(*testing.T, *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fl := &fleet{t: t, s: *DefaultCheck(), nodes: map[string]*fleetNode{}}
		fl.s.Enabled = true
		for i := range size {
			fl.add(string(rune('a' + i)))
		}
		f(t, fl)
		for _, n := range fl.nodes {
			n.stop()
		}
	})
}

func (f *fleet) add(name string) *fleetNode {
	n := &fleetNode{name: name, fleet: f, quiet: map[string]quiet{}, reg: prometheus.NewRegistry()}
	n.runs = schedule.New(schedule.Config{Known: []string{checkName}, Logger: log.NewNopLogger()})
	n.reg.MustRegister(n.runs)
	n.load()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = n.runs.Run(ctx) }()
	n.stop = func() { cancel(); <-ended }
	f.mu.Lock()
	f.nodes[name] = n
	f.mu.Unlock()
	return n
}

// load builds the check, as a reload does.
func (n *fleetNode) load() {
	c := newCheck(n.fleet.s, collectors.Env{Node: n.name, Logger: log.NewNopLogger(), Registry: n.reg, Verdicts: n.verdicts})
	c.probe = func(context.Context) (time.Duration, error) {
		n.fleet.mu.Lock()
		defer n.fleet.mu.Unlock()
		return n.latency, nil
	}
	c.run = n.run
	n.check = c
	n.runs.Replace([]schedule.Check{{Collector: c, Timing: n.fleet.s.Schedule()}})
}

func (n *fleetNode) run(ctx context.Context, turn uint64) Report {
	f := n.fleet
	r := Report{Run: fmt.Sprint(n.name, n.count), Began: time.Now(), Nodes: []string{"x", "y"}, Usable: 5}
	f.mu.Lock()
	n.count++
	count := n.count
	f.made = append(f.made, madeRun{n.name, time.Now(), turn})
	outcome, after, hang := n.outcome, n.after, n.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	select {
	case <-ctx.Done():
	case <-time.After(8 * time.Second):
	}
	for _, name := range f.s.steps() {
		r.Steps = append(r.Steps, Step{Name: name, Seconds: 0.5})
	}
	if outcome != nil {
		for _, s := range outcome(count) {
			r.Steps[slices.IndexFunc(r.Steps, func(o Step) bool { return o.Name == s.Name })] = s
		}
	}
	r.Status, r.Seconds = r.worst().Status, time.Since(r.Began).Seconds()
	if after != nil {
		after(&r, count)
	}
	return r
}

// verdicts are those of all nodes as this one holds them.
func (n *fleetNode) verdicts() []collectors.NodeVerdicts {
	f := n.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []collectors.NodeVerdicts
	for _, name := range slices.Sorted(maps.Keys(f.nodes)) {
		other := f.nodes[name]
		if last, ok := n.quiet[name]; ok {
			if time.Since(last.since) > staleAfter {
				last.results = nil
			}
			all = append(all, collectors.NodeVerdicts{Node: name, Results: last.results})
			continue
		}
		all = append(all, collectors.NodeVerdicts{Node: name, Up: true, Results: slices.Concat(other.runs.Results(), other.others)})
	}
	return all
}

// change changes the nodes while nobody looks, and has those that are apart
// then hear nothing of each other.
func (f *fleet) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
	for _, n := range f.nodes {
		for name, other := range f.nodes {
			_, already := n.quiet[name]
			switch apart := n != other && (n.dead || other.dead || n.side != other.side); {
			case !apart:
				delete(n.quiet, name)
			case !already:
				n.quiet[name] = quiet{time.Now(), slices.Concat(other.runs.Results(), other.others)}
			}
		}
	}
}

// kill ends a node as a power cut does.
func (f *fleet) kill(name string) {
	n := f.nodes[name]
	f.change(func() { n.dead = true })
	n.runs.Replace(nil)
}

// revive starts the agent of a node anew, which knows nothing of before.
func (f *fleet) revive(name string) {
	f.nodes[name].stop()
	f.mu.Lock()
	delete(f.nodes, name)
	for _, n := range f.nodes {
		delete(n.quiet, name)
	}
	f.mu.Unlock()
	f.add(name)
}

// pass lets time pass, and returns the runs that were made meanwhile.
func (f *fleet) pass(d time.Duration) []madeRun {
	f.mu.Lock()
	before := len(f.made)
	f.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.made[before:])
}

// shown is what a node says of a subject of the check.
func (n *fleetNode) shown(subject string) health.Result {
	n.fleet.t.Helper()
	for _, r := range n.runs.Results() {
		if r.Subject == subject {
			return r
		}
	}
	n.fleet.t.Errorf("%s says nothing of %s", n.name, subject)
	return health.Result{}
}

// values are the node's own series of a family, by the value of their only
// label.
func (n *fleetNode) values(family string) map[string]float64 {
	n.fleet.t.Helper()
	families, err := n.reg.Gather()
	must(n.fleet.t, err)
	values := map[string]float64{}
	for _, f := range families {
		if f.GetName() != family {
			continue
		}
		for _, m := range f.GetMetric() {
			label := ""
			if len(m.GetLabel()) > 0 {
				label = m.GetLabel()[0].GetValue()
			}
			values[label] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}
