package mesh

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func everySecond(int) time.Duration { return time.Second }

// cluster is so many living members in each zone.
func cluster(zones map[string]int) map[string]Member {
	members := map[string]Member{}
	for zone, n := range zones {
		for i := range n {
			m := Member{State: MemberAlive, Exchange: "x"}
			if zone != "" {
				m.Tags = map[string]string{TagZone: zone}
			}
			members[fmt.Sprintf("%s-%03d", zone, i)] = m
		}
	}
	return members
}

// A cluster within its budget pays nothing, and one at its edge does not
// change back and forth.
func TestBudget(t *testing.T) {
	t.Parallel()
	members := cluster(map[string]int{"": 100})
	r := &roles{self: "-000", budget: 13_000}
	for _, step := range []struct {
		bytes float64 // of a frame
		full  bool
	}{
		{0, true}, {100, true}, {101, false}, {100, false}, {81, false}, {80, true}, {100, true}, {200, false},
	} {
		r.sizes(step.bytes)
		role, taking := r.update(members, everySecond)
		if full := role == Full; full != step.full || full && len(taking) != 100 {
			t.Errorf("frames of %v bytes, %v bytes a second: %v, %d take part", step.bytes, r.load(), role, len(taking))
		}
	}
	never := &roles{self: "-000"}
	never.sizes(1e9)
	if role, _ := never.update(members, everySecond); role != Full {
		t.Errorf("without a budget: %v", role)
	}
}

// All nodes choose the same aggregators, several in each zone, and one that
// goes is replaced by one, with the others in place.
func TestAggregatorsOfZones(t *testing.T) {
	t.Parallel()
	for label, tc := range map[string]struct {
		zones map[string]int
		want  map[string]int // aggregators
	}{
		"no zones":        {map[string]int{"": 50}, map[string]int{"": 3}},
		"two zones":       {map[string]int{"a": 6, "b": 6}, map[string]int{"a": 3, "b": 3}},
		"small zones":     {map[string]int{"a": 2, "b": 1, "c": 30}, map[string]int{"a": 2, "b": 1, "c": 3}},
		"some have none":  {map[string]int{"": 20, "b": 20}, map[string]int{"": 3, "b": 3}},
		"one large zone":  {map[string]int{"a": 640}, map[string]int{"a": 10}},
		"thousands alike": {map[string]int{"a": 2000, "b": 2000}, map[string]int{"a": 32, "b": 32}},
	} {
		members := cluster(tc.zones)
		var all []string
		got, leaves := map[string]int{}, 0
		for name, m := range members {
			r := &roles{self: name, budget: 1}
			r.sizes(100)
			role, taking := r.update(members, everySecond)
			_, near, chosen := r.now()
			if all == nil {
				all = chosen
			}
			switch {
			case !slices.Equal(all, chosen):
				t.Fatalf("%s: %s chooses %v, another %v", label, name, chosen, all)
			case role == Leaf && (!slices.Equal(taking, []string{name}) || slices.Contains(all, name) || r.serves("stranger")):
				t.Errorf("%s: %s is a leaf, and %v take part", label, name, taking)
			case role == Aggregator && (!slices.Equal(taking, all) || !slices.Contains(all, name) || r.serves(name) || !r.serves("stranger")):
				t.Errorf("%s: %s is an aggregator, and %v take part", label, name, taking)
			}
			for _, n := range near {
				if members[n].Tags[TagZone] != m.Tags[TagZone] {
					t.Errorf("%s: %s turns to %s of another zone first", label, name, n)
				}
			}
			if role == Leaf {
				leaves++
			}
			if len(members) > 1000 && leaves > 5 {
				break
			}
		}
		for _, name := range all {
			got[members[name].Tags[TagZone]]++
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: aggregators (-want +got):\n%s", label, diff)
		}
	}
}

func TestAggregatorThatGoes(t *testing.T) {
	t.Parallel()
	members := cluster(map[string]int{"a": 40, "b": 40})
	r := &roles{self: "a-000", budget: 1}
	r.sizes(100)
	r.update(members, everySecond)
	_, _, before := r.now()
	gone := before[0]
	m := members[gone]
	m.State = MemberFailed
	members[gone] = m
	r.update(members, everySecond)
	_, _, after := r.now()
	kept := slices.DeleteFunc(slices.Clone(before), func(name string) bool { return !slices.Contains(after, name) })
	if len(after) != len(before) || len(kept) != len(before)-1 || slices.Contains(after, gone) {
		t.Errorf("%v were chosen, and when %s had gone %v", before, gone, after)
	}
}

// Leaves share the aggregators of their zone among them.
func TestLeavesAreSpread(t *testing.T) {
	t.Parallel()
	members := cluster(map[string]int{"a": 640})
	first := map[string]int{}
	for name := range members {
		r := &roles{self: name, budget: 1}
		r.sizes(100)
		if role, _ := r.update(members, everySecond); role == Leaf {
			_, near, _ := r.now()
			first[near[0]]++
		}
	}
	for name, n := range first {
		if n < 30 || n > 110 {
			t.Errorf("%d of 630 leaves turn to %s first", n, name)
		}
	}
	if len(first) != 10 {
		t.Errorf("leaves turn to %d aggregators of 10", len(first))
	}
}
