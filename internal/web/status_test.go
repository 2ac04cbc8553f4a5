package web

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh"
	"github.com/grapevine-mesh/grapevine/mesh/reach"
)

func TestStatus(t *testing.T) {
	cfg, _ := config()
	var got Status
	decode(t, ask(handler(cfg), "GET", "/api/v1/status"), &got)
	age := func(s float64) *float64 { return &s }
	want := Status{
		Node: "a", Version: "1.2.3", Time: noon, Status: health.Critical,
		Partition: Partition{Known: 5, Up: 3, Reached: []string{"a"}, Findings: []Finding{}},
		Problems: []Problem{
			{
				Node: "b", Check: "disk", Subject: "/var", Status: health.Critical, Reason: "slow",
				Evidence: &Evidence{2, 1, "seconds"}, Since: noon.Add(-time.Hour), AgeSeconds: 4,
			},
			{Node: "b", Check: "disk", Subject: "/", Status: health.Unknown, Reason: "nobody can tell"},
		},
		Nodes: []NodeStatus{
			{Node: "a", Status: health.OK, Up: true, Member: mesh.MemberAlive, AgeSeconds: age(1), Version: "1.2.3"},
			{Node: "b", Status: health.Critical, Up: true, Member: mesh.MemberFailed, AgeSeconds: age(2), Version: "1.2.2"},
			{Node: "c", Status: health.Unknown, Reason: "no data for 2m30s", Member: mesh.MemberFailed, AgeSeconds: age(150)},
			{Node: "d", Status: health.Unknown, Reason: "no data has ever arrived from this node", Member: mesh.MemberAlive},
			{Node: "e", Status: health.Unknown, Reason: "no data for 1s", Up: true, Member: mesh.MemberLeaving, AgeSeconds: age(1)},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What a side of a split tells of itself and of the other.
func TestStatusOfASplit(t *testing.T) {
	view := mesh.View{
		Self: "a",
		Nodes: []mesh.Node{
			{Name: "a", Up: true, Snapshot: &health.Snapshot{Results: []health.Result{{Status: health.OK}}}},
			{Name: "b", Age: 20 * time.Second, Observers: reach.Observers{Looking: 3, Failing: []string{"a", "c"}}},
		},
		Partition: reach.Picture{
			Known: 3, Reached: []string{"a"}, OtherSide: []string{"b", "c"}, Since: noon.Add(-time.Minute), View: 7,
			Findings: []reach.Finding{{Kind: reach.Split, Status: health.Critical, Text: "split", About: []string{"a", "b", "c"}, Since: noon.Add(-time.Minute)}},
		},
	}
	got := statusOf(view, "a", "1", noon)
	want := Partition{
		Known: 2, Up: 1, Reached: []string{"a"}, OtherSide: []string{"b", "c"}, Since: noon.Add(-time.Minute), View: 7,
		Findings: []Finding{{"split", health.Critical, "split", []string{"a", "b", "c"}, noon.Add(-time.Minute)}},
	}
	if diff := cmp.Diff(want, got.Partition); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Status != health.Critical {
		t.Errorf("a split is %v", got.Status)
	}
	b := got.Nodes[1]
	if b.Reason != "no data for 20s; not reached by 2 of the 3 that look at it" || b.Observers.Looking != 3 || len(b.Observers.Failing) != 2 {
		t.Errorf("of b: %+v", b)
	}
}

// What is not known is never shown as healthy.
func TestOverallStatus(t *testing.T) {
	said := func(up bool, results ...health.Status) mesh.Node {
		n := mesh.Node{Up: up, Snapshot: &health.Snapshot{}}
		for _, s := range results {
			n.Snapshot.Results = append(n.Snapshot.Results, health.Result{Status: s})
		}
		return n
	}
	silent := mesh.Node{Age: time.Minute}
	for _, tc := range []struct {
		name  string
		nodes []mesh.Node
		want  health.Status
	}{
		{"nobody", nil, health.Unknown},
		{"all well", []mesh.Node{said(true, health.OK), said(true, health.OK, health.OK)}, health.OK},
		{"one says nothing", []mesh.Node{said(true, health.OK), said(true)}, health.Unknown},
		{"one is silent", []mesh.Node{said(true, health.OK), silent}, health.Unknown},
		{"last word was ok", []mesh.Node{said(false, health.OK)}, health.Unknown},
		{"last word was critical", []mesh.Node{said(false, health.Critical), said(true, health.OK)}, health.Critical},
		{"warning above unknown", []mesh.Node{silent, said(true, health.Warning)}, health.Warning},
	} {
		if got := statusOf(mesh.View{Nodes: tc.nodes}, "a", "1", noon); got.Status != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got.Status, tc.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, f := range []float64{0, -1.5, 1e300, math.Inf(1), math.Inf(-1), math.NaN()} {
		text, err := json.Marshal(Number(f))
		if err != nil {
			t.Fatal(err)
		}
		var back Number
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if got := float64(back); got != f && !(math.IsNaN(got) && math.IsNaN(f)) {
			t.Errorf("%v came back as %v from %s", f, got, text)
		}
	}
	for _, bad := range []string{`"many"`, `{}`, `"1"`} {
		var n Number
		if err := json.Unmarshal([]byte(bad), &n); err == nil {
			t.Errorf("%s was read as %v", bad, n)
		}
	}
}
