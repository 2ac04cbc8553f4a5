package mesh

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/reach"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	cut := func(kind reach.Kind, text string, about ...string) reach.Finding {
		return reach.Finding{Kind: kind, Status: health.Warning, Text: text, About: about}
	}
	for name, tc := range map[string]struct {
		picture reach.Picture
		want    []health.Result
	}{
		"all is well": {
			reach.Picture{Known: 2, Reached: []string{"a", "b"}},
			[]health.Result{{Subject: "partition", Evidence: health.Evidence{Value: 2, Threshold: 2, Unit: "nodes"}}},
		},
		"two are down": {
			reach.Picture{Known: 3, Reached: []string{"a"}, Down: []string{"b", "c"}, Findings: []reach.Finding{
				{Kind: reach.Unreachable, Status: health.Unknown, About: []string{"b"}},
			}},
			[]health.Result{{
				Subject: "partition", Reason: "a reaches 1 of 3 members; not reached, and no split: b, c",
				Evidence: health.Evidence{Value: 1, Threshold: 3, Unit: "nodes"},
			}},
		},
		"a split": {
			reach.Picture{Known: 3, Reached: []string{"a"}, OtherSide: []string{"b", "c"}, Findings: []reach.Finding{
				{Kind: reach.Split, Status: health.Critical, Text: "split", About: []string{"a", "b", "c"}},
			}},
			[]health.Result{{
				Subject: "partition", Status: health.Critical, Reason: "split",
				Evidence: health.Evidence{Value: 1, Threshold: 3, Unit: "nodes"},
			}},
		},
		"own cuts, and those of others": {
			reach.Picture{Known: 1, Reached: []string{"a"}, Findings: []reach.Finding{
				cut(reach.GossipCut, "one", "a", "b"), cut(reach.GossipCut, "two", "a", "c"),
				cut(reach.GossipCut, "of others", "b", "c"), cut(reach.OneWay, "three", "a", "d"),
			}},
			[]health.Result{
				{Subject: "partition", Evidence: health.Evidence{Value: 1, Threshold: 1, Unit: "nodes"}},
				{Subject: "gossip", Status: health.Warning, Reason: "one; two", Evidence: health.Evidence{Value: 1, Threshold: 1, Unit: "nodes"}},
				{Subject: "one-way", Status: health.Warning, Reason: "three", Evidence: health.Evidence{Value: 1, Threshold: 1, Unit: "nodes"}},
			},
		},
	} {
		if diff := cmp.Diff(tc.want, verdictsOf(&tc.picture, "a")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	long := reach.Picture{Known: 1, Reached: []string{"a"}, Findings: []reach.Finding{cut(reach.OneWay, strings.Repeat("x", 5000), "a")}}
	if n := len(verdictsOf(&long, "a")[1].Reason); n != maxReason {
		t.Errorf("a reason of %d bytes", n)
	}
}

// What a node tells of its links is read as it was meant, and what a peer
// makes up does no harm.
func TestLinksOf(t *testing.T) {
	t.Parallel()
	series := func(peer, path string) health.Series {
		return health.Series{Labels: []health.Label{{Name: "path", Value: path}, {Name: "peer", Value: peer}}}
	}
	s := &health.Snapshot{
		Values: []float64{7, 1, 2, 3, 1, 0, 1, 1},
		Schema: &health.Schema{Families: []health.Family{
			{Name: "a", Type: health.Gauge, Series: make([]health.Series, 1)},
			{Name: "b", Type: health.Histogram, Series: []health.Series{{Bounds: []float64{1}}}},
			{Name: peerUpName, Type: health.Gauge, Series: []health.Series{
				series("b", pathExchange), series("b", pathGossip), series("c", pathInbound), series("d", "another"),
			}},
		}},
	}
	want := map[string]reach.Link{"b": {Exchange: reach.Open, Gossip: reach.Shut}, "c": {Inbound: reach.Open}, "d": {}}
	if diff := cmp.Diff(want, linksOf(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Values = s.Values[:6] // fewer than the schema says
	if got := linksOf(s); len(got) > 0 {
		t.Errorf("of too few values: %v", got)
	}
	if got := linksOf(nil); len(got) > 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// Three nodes reach each other by every path, and one that says goodbye is
// missed by nobody.
func TestPartitionPicture(t *testing.T) {
	virtually(t, func(t *bubble) {
		peers := together(t, "a", "b", "c")
		a, c := peers[0], peers[2]
		for _, p := range peers {
			p.eventually("reaches all, directly", func() (string, bool) {
				got := p.View().Partition
				links := p.reach.links(time.Now())
				open := 0
				for _, l := range links {
					if l == (reach.Link{Exchange: reach.Open, Gossip: reach.Open, Inbound: reach.Open}) {
						open++
					}
				}
				return strings.Join(got.Reached, " "), len(got.Reached) == 3 && open == 2 && len(got.Findings) == 0
			})
		}
		if v := a.Verdicts(); len(v) != 1 || v[0].Status != health.OK {
			t.Errorf("verdicts: %+v", v)
		}
		c.stop()
		a.eventually("forgets who said goodbye", func() (string, bool) {
			got := a.View().Partition
			return strings.Join(got.Reached, " "), got.Known == 2 && len(got.Findings) == 0
		})
	})
}

// A node that starts within a split, with seeds and nobody behind them, must
// not call itself a healthy mesh of one.
func TestAloneSaysSo(t *testing.T) {
	virtually(t, func(t *bubble) {
		cfg := t.config("a")
		cfg.Join = []string{"127.0.0.1:1"}
		a := start(t, cfg)
		a.eventually("says that nobody answers", func() (string, bool) {
			v := a.Verdicts()
			return v[0].Reason, len(v) == 2 && v[1].Subject == string(reach.Alone) && v[1].Status == health.Warning
		})
		b := start(t, t.config("b"))
		if err := b.gossip.join(a.GossipAddr()); err != nil {
			t.Fatal(err)
		}
		a.eventually("is well with somebody there", func() (string, bool) {
			v := a.Verdicts()
			return v[0].Reason, len(v) == 1 && v[0].Status == health.OK
		})
	})
}
