package reach

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
)

// scene is eight members as n1 sees them, all of them well, an hour after they
// joined. What is wrong begins now.
type scene struct {
	now     time.Time
	members map[string]*Member
	links   map[string]map[string]Link
}

func newScene() *scene {
	s := &scene{now: time.Now(), members: map[string]*Member{}, links: map[string]map[string]Link{}}
	for i := 1; i <= 8; i++ {
		name := fmt.Sprintf("n%d", i)
		s.links[name] = map[string]Link{}
		for j := 1; j <= 8; j++ {
			if j != i {
				s.links[name][fmt.Sprintf("n%d", j)] = Link{Open, Open, Open}
			}
		}
		if i > 1 {
			s.members[name] = &Member{Name: name, Age: 2 * time.Second, Interval: 5 * time.Second, Since: s.now.Add(-time.Hour)}
			s.members[name].Exchange.Note(true, s.now)
		}
	}
	return s
}

// silent makes no words and no answers come from these members since so long,
// and takes away what they say of others.
func (s *scene) silent(since time.Duration, members ...string) {
	for _, name := range members {
		m := s.members[name]
		m.Age = since
		m.Exchange = Trail{}
		m.Exchange.Note(true, s.now.Add(-since))
		for range confirm {
			m.Exchange.Note(false, s.now)
		}
		if since > Overdue(m.Interval) {
			delete(s.links, name)
		}
		for _, links := range s.links {
			if _, ok := links[name]; ok {
				links[name] = Link{Shut, Shut, Shut}
			}
		}
	}
}

// between changes the links from each of some to each of others.
func (s *scene) between(from, to []string, l Link) {
	for _, a := range from {
		for _, b := range to {
			if a != b {
				s.links[a][b] = l
			}
		}
	}
}

func (s *scene) evidence() Evidence {
	e := Evidence{Self: "n1", Now: s.now, Links: s.links}
	for i := 2; i <= 8; i++ {
		if m, ok := s.members[fmt.Sprintf("n%d", i)]; ok {
			e.Members = append(e.Members, *m)
		}
	}
	return e
}

func TestPicture(t *testing.T) {
	t.Parallel()
	left, right := []string{"n1", "n2", "n3"}, []string{"n4", "n5", "n6", "n7", "n8"}
	for name, tc := range map[string]struct {
		make     func(*scene)
		other    []string
		down     []string
		findings []string // status, kind, text
	}{
		"all is well": {make: func(*scene) {}},
		"split": {
			make:     func(s *scene) { s.silent(20*time.Second, right...) },
			other:    right,
			findings: []string{"critical split the mesh is split: 3 of 8 members on this side (n1, n2, n3), 5 on the other (n4, n5, n6, n7, n8): nothing passes between them"},
		},
		"split, and long before one died": {
			make: func(s *scene) {
				s.silent(20*time.Second, "n4", "n5", "n6", "n7")
				s.silent(time.Hour/2, "n8")
			},
			other: []string{"n4", "n5", "n6", "n7"}, down: []string{"n8"},
			findings: []string{
				"critical split the mesh is split: 3 of 8 members on this side (n1, n2, n3), 4 on the other (n4, n5, n6, n7): nothing passes between them",
				"unknown unreachable n8 is not reached by any of the 3 that look at it: it is down, or cut off alone",
			},
		},
		"one is dead": {
			make: func(s *scene) { s.silent(20*time.Second, "n8") }, down: []string{"n8"},
			findings: []string{"unknown unreachable n8 is not reached by any of the 7 that look at it: it is down, or cut off alone"},
		},
		"agents of two hosts do not run": {
			make: func(s *scene) {
				s.silent(20*time.Second, "n7", "n8")
				s.members["n7"].Refused, s.members["n8"].Refused = true, true
			},
			down: []string{"n7", "n8"},
			findings: []string{
				"unknown unreachable n7 is not reached: its host answers that no agent listens there",
				"unknown unreachable n8 is not reached: its host answers that no agent listens there",
			},
		},
		"two reboot as announced": {
			make: func(s *scene) {
				s.silent(20*time.Second, "n7", "n8")
				s.members["n7"].Away, s.members["n8"].Away = true, true
			},
			down:     []string{"n7", "n8"},
			findings: []string{"unknown unreachable n7 is away, as it had announced", "unknown unreachable n8 is away, as it had announced"},
		},
		"cut off from all": {
			make:     func(s *scene) { s.silent(20*time.Second, "n2", "n3", "n4", "n5", "n6", "n7", "n8") },
			other:    []string{"n2", "n3", "n4", "n5", "n6", "n7", "n8"},
			findings: []string{"critical split n1 is cut off from all 7 other members it knows of (n2, n3, n4, n5, n6, n7, n8): nothing passes between them"},
		},
		"the other side is heard, but does not hear": {
			make: func(s *scene) {
				s.silent(20*time.Second, right...)
				s.between(left, right, Link{Shut, Shut, Open})
			},
			other:    right,
			findings: []string{"critical split the mesh is split: 3 of 8 members on this side (n1, n2, n3), 5 on the other (n4, n5, n6, n7, n8): packets from that side arrive here, those from here do not arrive there"},
		},
		"only the gossip passes to the other side": {
			make: func(s *scene) {
				s.silent(20*time.Second, right...)
				s.between(left, right, Link{Shut, Open, Open})
			},
			other:    right,
			findings: []string{"critical split the mesh is split: 3 of 8 members on this side (n1, n2, n3), 5 on the other (n4, n5, n6, n7, n8): the gossip passes between them and the exchange does not, so look for a filter on the port of the exchange"},
		},
		"gossip cut between two sides": {
			make: func(s *scene) {
				s.between(left, right, Link{Open, Shut, Shut})
				s.between(right, left, Link{Open, Shut, Shut})
				for _, name := range right {
					s.members[name].Failed = true
				}
			},
			findings: []string{"warning gossip the gossip between n1, n2, n3 and n4, n5, n6, n7, n8 fails while the exchange works: is its port filtered, TCP or UDP?"},
		},
		"exchange cut between two": {
			make: func(s *scene) {
				s.between([]string{"n1"}, []string{"n2"}, Link{Shut, Open, Open})
				s.between([]string{"n2"}, []string{"n1"}, Link{Shut, Open, Open})
			},
			findings: []string{"warning exchange the exchange between n1 and n2 fails while the gossip works: is its port filtered, or a certificate refused?"},
		},
		"exchange cut from one to another": {
			make:     func(s *scene) { s.between([]string{"n4"}, []string{"n5"}, Link{Shut, Open, Open}) },
			findings: []string{"warning exchange the exchange from n4 to n5 fails while the gossip works: is its port filtered, or a certificate refused?"},
		},
		"one way": {
			make: func(s *scene) { // nothing comes back to either, but n1 hears n2
				s.between([]string{"n1"}, []string{"n2"}, Link{Shut, Shut, Open})
				s.between([]string{"n2"}, []string{"n1"}, Link{Shut, Shut, Shut})
			},
			findings: []string{"warning one-way cut in one direction: packets from n1 to n2 get lost, those from n2 to n1 arrive"},
		},
		"one way, the other": {
			make: func(s *scene) {
				s.between([]string{"n1"}, []string{"n2"}, Link{Shut, Shut, Shut})
				s.between([]string{"n2"}, []string{"n1"}, Link{Shut, Shut, Open})
			},
			findings: []string{"warning one-way cut in one direction: packets from n2 to n1 get lost, those from n1 to n2 arrive"},
		},
		"two do not reach each other": {
			make: func(s *scene) {
				s.between([]string{"n3"}, []string{"n4"}, Link{Shut, Shut, Shut})
				s.between([]string{"n4"}, []string{"n3"}, Link{Shut, Shut, Shut})
			},
			findings: []string{"warning pair nothing passes between n3 and n4, while others reach both"},
		},
		"too many cuts to tell": {
			make: func(s *scene) {
				for i := 1; i < 8; i++ {
					s.between([]string{fmt.Sprintf("n%d", i)}, []string{fmt.Sprintf("n%d", i+1)}, Link{Open, Shut, Open})
				}
			},
			findings: []string{"warning gossip the gossip fails while the exchange works between 7 pairs of members, such as n1 and n2"},
		},
		"late words of one that answers": {make: func(s *scene) { s.members["n2"].Age = time.Minute }},
		"a word is missing, and tries are not told yet": {
			make: func(s *scene) {
				m := s.members["n2"]
				m.Age, m.Exchange = 11*time.Second, Trail{}
			},
		},
		"just joined": {
			make: func(s *scene) {
				s.members["n8"] = &Member{Name: "n8", Age: -1, Since: s.now.Add(-time.Second)}
			},
		},
		"joined, and never heard of since": {
			make: func(s *scene) {
				s.members["n8"] = &Member{Name: "n8", Age: -1, Since: s.now.Add(-time.Hour)}
				delete(s.links, "n8")
				for _, links := range s.links {
					delete(links, "n8")
				}
			},
			down:     []string{"n8"},
			findings: []string{"unknown unreachable n8 is not reached: it is down or cut off, and nobody here looks at it directly"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene()
			tc.make(s)
			var j Judge
			e := s.evidence()
			j.Picture(e)
			for c := range j.first { // and it has been so for long enough
				j.first[c] = s.now.Add(-settle)
			}
			p := j.Picture(e)
			var findings []string
			for _, f := range p.Findings {
				findings = append(findings, fmt.Sprintf("%v %s %s", f.Status, f.Kind, f.Text))
			}
			if diff := cmp.Diff(tc.findings, findings); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.other, p.OtherSide); diff != "" {
				t.Errorf("other side (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.down, p.Down); diff != "" {
				t.Errorf("down (-want +got):\n%s", diff)
			}
			if p.Known != 8 || len(p.Reached)+len(p.OtherSide)+len(p.Down) != 8 || !slices.IsSorted(p.Reached) {
				t.Errorf("known %d, reached %v", p.Known, p.Reached)
			}
			if since := s.now.Sub(p.Since); len(p.OtherSide) > 0 && since != 20*time.Second || len(p.OtherSide) == 0 && !p.Since.IsZero() {
				t.Errorf("split since %v", since)
			}
		})
	}
}

// What one end sees first is not told before the other end can have spoken.
func TestCutsSettle(t *testing.T) {
	t.Parallel()
	s := newScene()
	s.between([]string{"n1"}, []string{"n2"}, Link{Shut, Shut, Open})
	s.between([]string{"n2"}, []string{"n1"}, Link{Shut, Shut, Shut})
	var j Judge
	began := s.now
	for ; s.now.Sub(began) < settle; s.now = s.now.Add(time.Second) {
		if p := j.Picture(s.evidence()); len(p.Findings) > 0 {
			t.Fatalf("after %v: %v", s.now.Sub(began), p.Findings)
		}
	}
	p := j.Picture(s.evidence())
	if len(p.Findings) != 1 || p.Findings[0].Kind != OneWay || !p.Findings[0].Since.Equal(began) {
		t.Errorf("in the end: %v", p.Findings)
	}
	s.between([]string{"n1"}, []string{"n2"}, Link{Open, Open, Open})
	s.between([]string{"n2"}, []string{"n1"}, Link{Open, Open, Open})
	if p := j.Picture(s.evidence()); len(p.Findings) > 0 {
		t.Errorf("healed: %v", p.Findings)
	}
}

// A node that starts during a split has not seen it begin.
func TestAlone(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tc := range map[string]struct {
		seeking time.Time
		want    int
	}{"the first of all": {}, "just started": {now.Add(-time.Second), 0}, "nobody answers": {now.Add(-grace), 1}} {
		var j Judge
		p := j.Picture(Evidence{Self: "n1", Now: now, Seeking: tc.seeking})
		if len(p.Findings) != tc.want || tc.want == 1 && (p.Findings[0].Kind != Alone || !p.Findings[0].Since.Equal(tc.seeking)) {
			t.Errorf("%s: %v", name, p.Findings)
		}
	}
}

func TestObservers(t *testing.T) {
	t.Parallel()
	s := newScene()
	s.between([]string{"n1", "n3", "n4"}, []string{"n8"}, Link{Shut, Shut, Shut})
	s.between([]string{"n5"}, []string{"n8"}, Link{})
	var j Judge
	p := j.Picture(s.evidence())
	if diff := cmp.Diff(Observers{Looking: 6, Failing: []string{"n1", "n3", "n4"}}, p.Observers["n8"]); diff != "" {
		t.Error(diff)
	}
}

func TestViewIsOfWhoIsReached(t *testing.T) {
	t.Parallel()
	var j Judge
	whole := j.Picture(newScene().evidence()).View
	s := newScene()
	s.silent(time.Minute, "n8")
	if part := j.Picture(s.evidence()).View; part == whole {
		t.Errorf("the same number %d for eight and for seven", part)
	}
}

func TestOwnFindings(t *testing.T) {
	t.Parallel()
	p := Picture{Findings: []Finding{
		{Kind: OneWay, About: []string{"n1", "n2"}, Status: health.Warning},
		{Kind: GossipCut, About: []string{"n3", "n4"}, Status: health.Warning},
	}}
	if own := p.Own("n2"); len(own) != 1 || own[0].Kind != OneWay {
		t.Errorf("of n2: %v", own)
	}
}

func TestTrail(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for steps, want := range map[string]State{
		"": Untried, "-": Untried, "--": Untried, "---": Shut, "+": Open, "+--": Open, "+---": Shut, "---+": Open, "+--+--": Open,
	} {
		var trail Trail
		for _, step := range strings.Split(steps, "") {
			if step != "" {
				trail.Note(step == "+", now)
			}
		}
		if trail.State() != want {
			t.Errorf("%q is %v, want %v", steps, trail.State(), want)
		}
	}
}
