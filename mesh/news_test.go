package mesh

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/news"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// critical is a verdict that was observed ago.
func critical(subject string, ago time.Duration) health.Result {
	now := time.Now()
	return health.Result{
		Check: "disk", Subject: subject, Status: health.Critical, Reason: "fsync takes 1.2 s", Observed: now.Add(-ago), Since: now.Add(-ago),
	}
}

func saying(results ...health.Result) health.Snapshot {
	return health.Snapshot{Schema: &health.Schema{Version: "1.0.0"}, Results: results}
}

// cutExchange makes all of peers look for each other's exchange where nobody
// ever answers: only the gossip works.
func cutExchange(t *bubble, peers ...*peer) {
	t.Helper()
	const nowhere = "10.9.9.9:7997"
	for _, p := range peers {
		tags := p.gossip.tags()
		tags[tagExchange] = nowhere
		if err := p.gossip.retag(tags); err != nil {
			t.Error(err)
		}
	}
	for _, p := range peers {
		p.eventually("cannot reach anybody's exchange", func() (string, bool) {
			for name, m := range p.gossip.all() {
				if name != p.cfg.Node && m.Exchange != nowhere {
					return name + " at " + m.Exchange, false
				}
			}
			return "", true
		})
	}
	// What was under way when the addresses changed.
	time.Sleep(time.Second)
}

// When nothing but the gossip works, all hear within seconds that a verdict
// has turned critical, and how old it is; and it stands when the node's data
// has ended.
func TestNewsWhenOnlyTheGossipWorks(t *testing.T) {
	virtually(t, func(t *bubble) {
		peers := together(t, "a", "b", "c")
		a, b, c := peers[0], peers[1], peers[2]
		cutExchange(t, a, b, c)
		for _, p := range []*peer{a, c} {
			p.eventually("has no fresh data of b", func() (string, bool) {
				v := p.View()
				n, _ := v.Node("b")
				return fmt.Sprint(n.Age), !n.Up
			})
		}

		const ago = 3 * time.Second
		told := time.Now()
		if err := b.Publish(saying(critical("/var/lib/etcd", ago))); err != nil {
			t.Fatal(err)
		}
		var shown health.Result
		seen := func(p *peer) func() (string, bool) {
			return func() (string, bool) {
				v := p.View()
				n, _ := v.Node("b")
				if n.Snapshot == nil {
					return "nothing", false
				}
				for _, r := range n.Snapshot.Results {
					if r.Check == "disk" && r.Subject == "/var/lib/etcd" {
						shown = r
						return "", true
					}
				}
				return fmt.Sprint(n.Snapshot.Results), false
			}
		}
		for _, p := range []*peer{a, c} {
			p.eventually("shows the verdict", seen(p))
			if shown.Status != health.Critical || shown.Reason != "fsync takes 1.2 s" {
				t.Errorf("%s shows %+v", p.cfg.Node, shown)
			}
			// How long the last frame took to come here is all that may be amiss:
			// nothing, on this network.
			if off := shown.Observed.Sub(told.Add(-ago)); off.Abs() > glance {
				t.Errorf("%s shows it as observed %v after it was", p.cfg.Node, off)
			}
			if n := p.count("grapevine_mesh_news_total", news.Shown); n == 0 {
				t.Errorf("%s counts no news", p.cfg.Node)
			}
		}
		a.eventually("has nothing else of b", func() (string, bool) {
			v := a.View()
			n, _ := v.Node("b")
			return fmt.Sprintf("%v %+v", n.Age, n.Snapshot), n.Age > a.cfg.StaleAfter && (n.Snapshot == nil || len(n.Snapshot.Results) == 1)
		})
		// It ends, as everything does.
		a.eventually("has nothing of b", func() (string, bool) {
			v := a.View()
			n, _ := v.Node("b")
			return fmt.Sprintf("%+v", n.Snapshot), n.Snapshot == nil
		})
		if age := time.Since(told); age < a.cfg.StaleAfter {
			t.Errorf("the news was gone after %v", age)
		}
	})
}

// Serf carries the largest item there can be.
func TestNewsFitsTheGossip(t *testing.T) {
	virtually(t, func(t *bubble) {
		p := start(t, t.config("a"))
		if err := p.gossip.tell(make([]byte, news.MaxBytes)); err != nil {
			t.Errorf("the largest item: %v", err)
		}
		// The names of serf's fields, and its clock when it has grown as far as
		// it can.
		const clock = 9
		if err := p.gossip.tell(make([]byte, news.MaxBytes+clock)); err != nil {
			t.Errorf("the largest item late in the life of a cluster: %v", err)
		}
		p.eventually("refuses both", func() (string, bool) {
			n := p.count("grapevine_mesh_news_total", newsGarbage)
			return fmt.Sprint(n), n == 2
		})
		if err := p.Publish(saying(critical(strings.Repeat("x", 1000), 0))); err != nil {
			t.Fatal(err)
		}
		if n := p.count("grapevine_mesh_news_total", newsTooLong); n != 1 {
			t.Errorf("%v items were too long, want 1", n)
		}
	})
}

// pair is a node that tells and one that hears, with no network between them.
type pair struct {
	t          *testing.T
	from, to   *Mesh
	logsTo     bytes.Buffer
	registryTo *prometheus.Registry
}

func newPair(t *testing.T) *pair {
	t.Helper()
	a, b := testConfig(t, "a"), testConfig(t, "b")
	p := &pair{t: t, registryTo: b.Registry.(*prometheus.Registry)}
	b.Logger = log.NewLogfmtLogger(&p.logsTo)
	from, err := New(a)
	if err != nil {
		t.Fatal(err)
	}
	to, err := New(b)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]Member{"a": {State: MemberAlive, fingerprint: from.trust.identity.Load().fingerprint()}, "b": {State: MemberAlive}}
	from.gossip, to.gossip = &gossip{self: "a", members: members}, &gossip{self: "b", members: members}
	p.from, p.to = from, to
	return p
}

// frame makes from's next frame; it reaches the other when carry is set.
func (p *pair) frame(carry bool) {
	p.t.Helper()
	if err := p.from.store.Publish(saying(health.Result{Check: "disk", Subject: "s"}), p.from.cfg.PublishInterval); err != nil {
		p.t.Fatal(err)
	}
	if !carry {
		return
	}
	frames := p.from.store.Frames([]string{"a"}, math.MaxInt)
	hashes, err := state.References(frames, p.from.cfg.Limits.frame())
	if err != nil {
		p.t.Fatal(err)
	}
	if out := p.to.store.Apply(state.Delta{Frames: frames, Blobs: p.from.store.Blobs(hashes, math.MaxInt)}); out.Applied != 1 {
		p.t.Fatalf("the frame is not taken: %+v", out)
	}
}

// item is what from would tell now.
func (p *pair) item() news.Item {
	version, uptime := p.from.store.Spoken()
	return news.Item{
		Node: "a", Version: version, Uptime: uptime,
		Check: "disk", Subject: "s", Status: health.Critical, Reason: "slow", Observed: time.Second, Since: time.Second,
	}
}

// inVirtualTime runs test on a pair in a bubble of its own.
func inVirtualTime(t *testing.T, test func(*testing.T, *pair)) {
	synctest.Test(t, func(t *testing.T) { test(t, newPair(t)) })
}

func (p *pair) hears(payload []byte, want string) {
	p.t.Helper()
	before := p.counts()
	p.to.urgent.hear(payload)
	if got := p.counts(); got[want] != before[want]+1 {
		p.t.Errorf("counted %v, then %v: want one more %s", before, got, want)
	}
}

func (p *pair) counts() map[string]float64 {
	families, err := p.registryTo.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "grapevine_mesh_news_total" {
				counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return counts
}

func (p *pair) encode(item news.Item) []byte {
	p.t.Helper()
	b, err := item.Encode("test", p.from.trust.identity.Load().frameKey)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// shown is the verdict that the hearing node shows.
func (p *pair) shown() health.Result {
	p.t.Helper()
	v := p.to.View()
	n, _ := v.Node("a")
	if n.Snapshot == nil || len(n.Snapshot.Results) != 1 {
		p.t.Fatalf("shown is %+v", n.Snapshot)
	}
	return n.Snapshot.Results[0]
}

// News that the gossip brings late, such as when a partition heals, is as old
// as it is; and a newer frame ends it.
func TestNewsThatComesLate(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, p *pair) {
		time.Sleep(time.Hour) // the uptimes of the two differ from what they would guess
		p.frame(true)
		time.Sleep(2 * time.Second)
		p.frame(false)
		payload := p.encode(p.item())
		time.Sleep(5 * time.Second)
		if r := p.shown(); r.Status != health.OK {
			t.Errorf("before the news: %+v", r)
		}
		p.hears(payload, news.Shown)
		if r := p.shown(); r.Status != health.Critical || time.Since(r.Observed) != 6*time.Second || time.Since(r.Since) != 6*time.Second {
			t.Errorf("observed %v ago: %+v", time.Since(r.Observed), r)
		}
		time.Sleep(time.Second)
		if r := p.shown(); time.Since(r.Observed) != 7*time.Second {
			t.Errorf("a second later it was observed %v ago", time.Since(r.Observed))
		}
		held, _, _ := p.to.store.Node("a")
		if held.Snapshot.Results[0].Status != health.OK {
			t.Error("the frame itself was changed")
		}
		p.hears(payload, news.Repeat)
		p.frame(true) // in which all is well again
		if r := p.shown(); r.Status != health.OK {
			t.Errorf("after a newer frame: %+v", r)
		}
		p.hears(payload, newsOld)
	})
}

func TestNewsThatIsRefused(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, p *pair) {
		p.frame(false)
		p.hears(p.encode(p.item()), newsUnknown)
		p.frame(true)
		p.hears(p.encode(p.item()), newsOld) // the frame says it
		p.frame(false)
		late := p.encode(p.item())
		p.hears([]byte("grapevine"), newsGarbage)
		p.hears(nil, newsGarbage)

		forged := p.item()
		b, err := forged.Encode("test", p.to.trust.identity.Load().frameKey)
		if err != nil {
			t.Fatal(err)
		}
		p.hears(b, newsForged)
		if b, err = forged.Encode("other cluster", p.from.trust.identity.Load().frameKey); err != nil {
			t.Fatal(err)
		}
		p.hears(b, newsForged)

		// A capture of an hour ago changes nothing, also when no frame has
		// come since.
		time.Sleep(time.Hour)
		p.hears(late, newsOld)

		// Whoever has a key cannot fill the others' memory.
		p.frame(true)
		for i := range 100 {
			p.frame(false)
			item := p.item()
			item.Subject = fmt.Sprint(i)
			p.to.urgent.hear(p.encode(item))
		}
		if counts := p.counts(); counts[news.Flood] < 90 || counts[news.Shown] == 0 {
			t.Errorf("of a flood: %v", counts)
		}
		own := p.item()
		own.Node = "b"
		before := p.counts()
		p.to.urgent.hear(p.encode(own))
		if got := p.counts(); len(got) != len(before) {
			t.Errorf("its own word is counted: %v, then %v", before, got)
		}
		if n := strings.Count(p.logsTo.String(), "urgent news"); n != 1 {
			t.Errorf("a flood makes %d lines in the log, want 1:\n%s", n, &p.logsTo)
		}
		p.to.store.Forget("a")
		p.to.urgent.sweep()
		p.hears(p.encode(p.item()), newsUnknown)
	})
}

// What is told: a verdict that turns critical, once, and little of it.
func TestNewsToldBySender(t *testing.T) {
	virtually(t, func(t *bubble) {
		p := start(t, t.config("z"))
		p.eventually("has told its first verdict", func() (string, bool) {
			n := p.count("grapevine_mesh_news_total", newsSent)
			return fmt.Sprint(n), n == 1
		})
		p.stop()
		counts := func() string {
			return fmt.Sprint(p.count("grapevine_mesh_news_total", newsSent), p.count("grapevine_mesh_news_total", newsWithheld))
		}
		u := p.urgent
		ok := critical("a", 0)
		ok.Status = health.Warning
		for i, step := range []struct {
			results []health.Result
			want    string
		}{
			{[]health.Result{ok}, "1 0"},
			{[]health.Result{critical("a", 0)}, "2 0"},
			{[]health.Result{critical("a", 0)}, "2 0"},
			{[]health.Result{ok}, "2 0"},
			{[]health.Result{critical("a", 0)}, "2 1"}, // it flaps
			{[]health.Result{critical("a", 0), critical("b", 0), critical("c", 0), critical("d", 0)}, "3 3"},
		} {
			u.published(step.results)
			if got := counts(); got != step.want {
				t.Errorf("after step %d: %s sent and withheld, want %s", i, got, step.want)
			}
		}
	})
}
