package smoke

import (
	"fmt"
	"testing"
	"time"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// onePerTurn holds runs to have one maker and to follow each other turn by
// turn, and returns who made them.
func onePerTurn(t *testing.T, made []madeRun) string {
	t.Helper()
	for i, m := range made {
		if m.by != made[0].by {
			t.Errorf("%s made a run, %s another", m.by, made[0].by)
		}
		if i > 0 && m.turn != made[i-1].turn+1 {
			t.Errorf("the run of turn %d was followed by that of turn %d", made[i-1].turn, m.turn)
		}
	}
	if len(made) == 0 {
		t.Fatal("no run was made")
	}
	return made[0].by
}

// Of all nodes one makes the runs, from the start on: one every five minutes.
// All nodes say who it is, and that one alone has series of runs.
func TestOneNodeMakesTheRuns(t *testing.T) {
	t.Parallel()
	inFleet(t, 7, func(t *testing.T, f *fleet) {
		made := f.pass(2 * time.Hour)
		who := onePerTurn(t, made)
		if len(made) < 23 || len(made) > 25 {
			t.Errorf("%d runs in two hours", len(made))
		}
		if first := made[0].at.Sub(f.nodes[who].check.began); first > settle+f.s.Schedule().Interval {
			t.Errorf("the first run came after %v", first)
		}
		for name, n := range f.nodes {
			series := n.values("grapevine_smoke_success")
			if name == who {
				if r := n.shown(runsSubject); r.Status != health.OK || r.Reason != "this node makes the runs; the last one was on x and y" {
					t.Errorf("%s says %s: %s", name, r.Status, r.Reason)
				}
				if r := n.shown(StepDNS); r.Status != health.OK || series[""] != 1 {
					t.Errorf("%s says of the step dns: %s, and success is %v", name, r.Status, series)
				}
				continue
			}
			if r := n.shown(runsSubject); r.Status != health.OK || r.Reason != who+" makes the runs" {
				t.Errorf("%s says %s: %s", name, r.Status, r.Reason)
			}
			if len(n.runs.Results()) != 1 || len(series) != 0 {
				t.Errorf("%s, which makes no runs, says %v and has %v", name, n.runs.Results(), series)
			}
		}
		// The turns that were taken bring every node of a cluster in.
		all, covered := membersOf(20), map[string]bool{}
		for _, m := range made[:len(all)] {
			for _, node := range choose(all, m.turn) {
				covered[node] = true
			}
		}
		if len(covered) != len(all) {
			t.Errorf("%d of %d nodes were covered by as many runs", len(covered), len(all))
		}
	})
}

// When the one that makes the runs dies, another goes on, with the next turn
// and within the interval and a little. When it is back it goes on itself.
func TestAnotherNodeGoesOn(t *testing.T) {
	t.Parallel()
	inFleet(t, 5, func(t *testing.T, f *fleet) {
		made := f.pass(time.Hour)
		first := onePerTurn(t, made)
		f.kill(first)
		before := made[len(made)-1]
		made = f.pass(time.Hour)
		second := onePerTurn(t, made)
		if second == first || made[0].turn > before.turn+2 {
			t.Errorf("the last run of %s was of turn %d, the next was made by %s in turn %d", first, before.turn, second, made[0].turn)
		}
		if gap, most := made[0].at.Sub(before.at), f.s.Interval+2*f.s.Schedule().Interval; gap > most {
			t.Errorf("no run for %v, at most %v are all right", gap, most)
		}
		f.revive(first)
		last := made[len(made)-1]
		for last.by != first {
			for _, m := range f.pass(time.Second) {
				if m.turn != last.turn+1 {
					t.Errorf("the run of turn %d by %s was followed by that of turn %d by %s", last.turn, last.by, m.turn, m.by)
				}
				last = m
			}
			if last.by == second && time.Since(last.at) < f.s.Interval {
				told(t, f.nodes[second], StepDNS, health.OK) // until there is newer
			}
		}
		f.pass(2 * f.s.Schedule().Interval)
		if n := f.nodes[second]; len(n.runs.Results()) != 1 || len(n.values("grapevine_smoke_success")) != 0 {
			t.Errorf("%s, which makes no runs any more, still says %v", second, n.runs.Results())
		}
		if onePerTurn(t, f.pass(time.Hour)) != first {
			t.Errorf("%s does not make the runs again", first)
		}
	})
}

// A run that is the first one by its maker keeps its distance from the next.
func TestRunsKeepTheirDistance(t *testing.T) {
	t.Parallel()
	inFleet(t, 1, func(t *testing.T, f *fleet) {
		for range 30 {
			f.pass(time.Hour + 7*time.Second)
			f.revive("a")
			made := f.pass(20 * time.Minute)
			if gap := made[1].at.Sub(made[0].at); gap < f.s.Interval/2 {
				t.Errorf("two runs within %v", gap)
			}
		}
	})
}

// In a split each side makes its own runs; then there is one again.
func TestSplit(t *testing.T) {
	t.Parallel()
	inFleet(t, 6, func(t *testing.T, f *fleet) {
		first := onePerTurn(t, f.pass(time.Hour))
		f.change(func() {
			for name, n := range f.nodes {
				if name == first || name > "d" {
					n.side = 1
				}
			}
		})
		by := map[int][]madeRun{}
		for _, m := range f.pass(time.Hour) {
			side := f.nodes[m.by].side
			by[side] = append(by[side], m)
		}
		if a, b := onePerTurn(t, by[1]), onePerTurn(t, by[0]); a != first || b == first {
			t.Errorf("the runs are made by %s and %s, before it was %s", a, b, first)
		}
		f.change(func() {
			for _, n := range f.nodes {
				n.side = 0
			}
		})
		if again := onePerTurn(t, f.pass(time.Hour)); again != first {
			t.Errorf("the runs are made by %s, before the split it was %s", again, first)
		}
	})
}

// A node whose runs hang is passed over until they have ended.
func TestHungNodeIsPassedOver(t *testing.T) {
	t.Parallel()
	inFleet(t, 3, func(t *testing.T, f *fleet) {
		first := onePerTurn(t, f.pass(time.Hour))
		hang := make(chan struct{})
		f.change(func() { f.nodes[first].hang = hang })
		f.pass(10 * time.Minute)
		second := onePerTurn(t, f.pass(time.Hour))
		if second == first {
			t.Errorf("%s still makes the runs", first)
		}
		f.change(func() { f.nodes[first].hang = nil })
		close(hang)
		f.pass(10 * time.Minute)
		if again := onePerTurn(t, f.pass(time.Hour)); again != first {
			t.Errorf("%s makes the runs, not %s", again, first)
		}
	})
}

// A reload takes nothing away, and makes no run of its own.
func TestReloadKeepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	inFleet(t, 2, func(t *testing.T, f *fleet) {
		made := f.pass(time.Hour)
		n := f.nodes[onePerTurn(t, made)]
		for range 6 {
			if time.Since(made[len(made)-1].at) < 10*time.Second { // a run that is cut short is made again
				made = append(made, f.pass(10*time.Second)...)
			}
			n.load()
			made = append(made, f.pass(4*time.Minute)...)
			if got := n.values("grapevine_smoke_success"); got[""] != 1 {
				t.Errorf("success is %v after a reload", got)
			}
			if got := n.values("grapevine_smoke_step_success"); len(got) != len(f.s.steps()) {
				t.Errorf("steps after a reload: %v", got)
			}
		}
		onePerTurn(t, made)
	})
}

func TestRunner(t *testing.T) {
	t.Parallel()
	runs := health.Result{Check: checkName, Subject: runsSubject}
	hung := health.Result{Check: checkName, Subject: hungSubject, Status: health.Unknown}
	noAPI := health.Result{Check: "apiserver", Subject: "https://10.0.0.1", Status: health.Critical}
	node := func(name string, results ...health.Result) collectors.NodeVerdicts {
		return collectors.NodeVerdicts{Node: name, Up: true, Results: results}
	}
	silent := node("c", runs)
	silent.Up = false
	// The order of a to d, best first.
	order := []string{"a", "b", "c", "d"}
	for i := range order {
		for j := i + 1; j < len(order); j++ {
			if rank(order[i]) < rank(order[j]) {
				order[i], order[j] = order[j], order[i]
			}
		}
	}
	t.Logf("the order is %v", order)
	for _, tc := range []struct {
		name, self, want string
		all              []collectors.NodeVerdicts
	}{
		{"nobody else is known", "a", "a", nil},
		{"all are fit", "d", order[0], []collectors.NodeVerdicts{node("a", runs), node("b", runs), node("c", runs), node("d", runs)}},
		{"the best has it switched off", "d", order[1], []collectors.NodeVerdicts{node(order[0]), node(order[1], runs), node(order[2], runs), node(order[3], runs)}},
		{"the best does not reach the API", order[3], order[1], []collectors.NodeVerdicts{node(order[0], runs, noAPI), node(order[1], runs), node(order[2], runs), node(order[3], runs)}},
		{"the best hangs", order[3], order[1], []collectors.NodeVerdicts{node(order[0], runs, hung), node(order[1], runs), node(order[2], runs), node(order[3], runs)}},
		{"the best itself does not reach the API", order[0], order[1], []collectors.NodeVerdicts{node(order[0], runs, noAPI), node(order[1], runs)}},
		{"nobody reaches the API", order[1], order[0], []collectors.NodeVerdicts{node(order[1], runs, noAPI), node(order[0], runs, noAPI)}},
		{"the other is silent", "a", "a", []collectors.NodeVerdicts{node("a", runs), silent}},
	} {
		if got := runner(tc.self, tc.all); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// Of many clusters the runs are made by all nodes alike, and one that goes
// leaves the choice as it is unless it was chosen.
func TestRunnersAreSpread(t *testing.T) {
	t.Parallel()
	runs := health.Result{Check: checkName, Subject: runsSubject}
	by := map[string]int{}
	for cluster := range 1000 {
		var all []collectors.NodeVerdicts
		for i := range 5 {
			all = append(all, collectors.NodeVerdicts{Node: fmt.Sprintf("c%d-node-%d", cluster, i), Up: true, Results: []health.Result{runs}})
		}
		who := runner(all[0].Node, all)
		by[who[len(who)-1:]]++
		for i, n := range all {
			without := append(append([]collectors.NodeVerdicts{}, all[:i]...), all[i+1:]...)
			if got := runner(without[0].Node, without); n.Node != who && got != who {
				t.Fatalf("without %s %s is chosen, with it %s", n.Node, got, who)
			}
		}
	}
	for i, n := range by {
		if n < 150 || n > 250 {
			t.Errorf("of 1000 clusters %d chose node %s", n, i)
		}
	}
}
