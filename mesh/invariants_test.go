package mesh

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/reach"
)

// inTransit is by how much a view may take a word for younger than it is: a
// message does not know how long it was on its way. The kernel gives up after
// 10 s what is not acknowledged, and there are two ways in a word's path.
const inTransit = 20 * time.Second

// check holds one agent's view against the truth. Nothing of it may be wrong
// at any time, healed or not.
func (a *agent) check() {
	s := a.s
	view := a.View()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	wrong := func(format string, args ...any) {
		s.t.Helper()
		s.t.Errorf("%v: in the view of %s: %s\nlast lines of its log:\n%s", now.Format("15:04:05.000"), a.name, fmt.Sprintf(format, args...), a.log)
	}
	for _, n := range view.Nodes {
		if strings.HasPrefix(n.Name, "stranger") {
			wrong("%s, who is of another cluster", n.Name)
		}
		if n.Up && n.Snapshot == nil {
			wrong("%s is up without a word of it", n.Name)
		}
		if n.Snapshot == nil || len(n.Snapshot.Values) == 0 { // nothing, or news alone
			continue
		}
		w := s.words[int(n.Snapshot.Values[len(n.Snapshot.Values)-1])]
		age := now.Sub(w.when)
		s.worst = max(s.worst, age-n.Age)
		before := a.seen[n.Name]
		switch {
		case w.stranger:
			wrong("a word of another cluster's %s under the name of %s", w.node, n.Name)
		case w.node != n.Name || n.Snapshot.Node != n.Name:
			wrong("a word of %s and a snapshot of %s under the name of %s", w.node, n.Snapshot.Node, n.Name)
		case n.Age < age-inTransit:
			wrong("%s's word is taken to be %v old, it is %v", n.Name, n.Age, age)
		case n.Up && age > reach.Overdue(a.cfg.PublishInterval)+inTransit:
			wrong("%s is up, its last word is %v old", n.Name, age)
		case n.Epoch < before.epoch || n.Epoch == before.epoch && n.Version < before.number:
			wrong("%s went back from epoch %d version %d to epoch %d version %d", n.Name, before.epoch, before.number, n.Epoch, n.Version)
		case w.when.Before(before.when) && !s.conflicted[n.Name]:
			wrong("%s went back to what it said at %v, after what it said at %v", n.Name, w.when, before.when)
		}
		a.seen[n.Name] = seen{n.Epoch, n.Version, w.when}
		for _, r := range n.Snapshot.Results {
			// News goes ahead of the frame, so the verdict may be of a later word.
			var id int
			if _, err := fmt.Sscanf(r.Reason, "word %d", &id); err != nil || s.words[id].node != n.Name {
				wrong("verdict %q", r.Reason)
				continue
			}
			age, observed := now.Sub(s.words[id].when)+observedBefore, a.now().Sub(r.Observed)
			if r.Observed.IsZero() || observed < age-inTransit || observed > age+time.Second {
				wrong("a verdict of %s claims to be %v old, in truth %v", n.Name, observed, age)
			}
		}
	}
}

// watch checks some views each second, so that each is seen about each
// every seconds, until stopped.
func (s *simulated) watch(every int) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			s.mu.Lock()
			agents := slices.Clone(s.agents)
			s.mu.Unlock()
			for k, a := range agents {
				if (k+i)%every == 0 && a.running.Load() && !a.unwanted.Load() && !s.t.Failed() {
					a.check()
				}
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-stopped })
}

// eventually waits in steps of a second.
func (s *simulated) eventually(within time.Duration, what string, check func() (string, bool)) time.Duration {
	s.t.Helper()
	began := time.Now()
	for {
		got, ok := check()
		if ok {
			return time.Since(began)
		}
		if time.Since(began) > within {
			for _, a := range s.running() {
				if strings.Contains(got, a.name) {
					s.t.Logf("last lines of the log of %s:\n%s", a.name, a.log)
				}
			}
			s.t.Fatalf("not within %v: %s: %s", within, what, got)
		}
		time.Sleep(time.Second)
	}
}

// agree waits until every running agent shows exactly the running ones as up,
// and serf calls exactly these alive.
func (s *simulated) agree(within time.Duration) time.Duration {
	s.t.Helper()
	var names []string
	for _, a := range s.running() {
		names = append(names, a.name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return s.eventually(within, fmt.Sprintf("all %d see the same", len(names)), func() (string, bool) {
		var got []string
		for _, a := range s.running() {
			if diff := difference(names, a.ups()); diff != "" {
				got = append(got, fmt.Sprintf("%s: up: %s", a.name, diff))
			} else if diff := difference(names, a.alive()); diff != "" {
				got = append(got, fmt.Sprintf("%s: in the gossip: %s; %s", a.name, diff, a.states()))
			}
		}
		return strings.Join(got, "\n"), len(got) == 0
	})
}

// ups lists whom a shows as up.
func (a *agent) ups() []string {
	var names []string
	for _, n := range a.View().Nodes {
		if n.Up {
			names = append(names, n.Name)
		}
	}
	return names
}

// alive lists whom serf calls alive.
func (a *agent) alive() []string {
	var names []string
	for name, m := range a.gossip.all() {
		if m.State == MemberAlive {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// states says of whom serf thinks what, of those not alive.
func (a *agent) states() string {
	var text []string
	for name, m := range a.gossip.all() {
		if m.State != MemberAlive {
			text = append(text, fmt.Sprintf("%s at %s %s", name, m.Addr, m.State))
		}
	}
	slices.Sort(text)
	return strings.Join(text, ", ")
}

// difference says what is missing in got and what is too much; both are sorted.
func difference(want, got []string) string {
	var parts []string
	for _, name := range want {
		if !slices.Contains(got, name) {
			parts = append(parts, "-"+name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			parts = append(parts, "+"+name)
		}
	}
	return strings.Join(parts, " ")
}

// same waits until all views hold the same version of every node, while
// nobody says anything new.
func (s *simulated) same(within time.Duration) time.Duration {
	s.t.Helper()
	s.pause(true)
	defer s.pause(false)
	live := map[string]bool{}
	for _, a := range s.running() {
		live[a.name] = true
	}
	return s.eventually(within, "all views are equal", func() (string, bool) {
		var first, of string
		for _, a := range s.running() {
			var text strings.Builder
			for _, n := range a.View().Nodes {
				if live[n.Name] {
					fmt.Fprintf(&text, "%s %d.%d %s\n", n.Name, n.Epoch, n.Version, n.Member.State)
				}
			}
			if first == "" {
				first, of = text.String(), a.name
			}
			if text.String() != first {
				return fmt.Sprintf("%s and %s: %s", of, a.name, difference(strings.Split(first, "\n"), strings.Split(text.String(), "\n"))), false
			}
		}
		return "", true
	})
}

// bounded checks what everybody holds after all has healed.
func (s *simulated) bounded() {
	s.t.Helper()
	names := map[string]bool{}
	for _, a := range s.agents {
		if !a.unwanted.Load() {
			names[a.name] = true
		}
	}
	running := s.running()
	for _, a := range running {
		held := len(a.store.Nodes())
		forgotten := len(a.store.Digest()) - held
		stats := a.gossip.serf.Stats()
		for what, over := range map[string]bool{
			fmt.Sprint(held, " nodes and ", forgotten, " tombstones"):        held > len(names) || forgotten > len(names),
			fmt.Sprint("members ", slices.Sorted(maps.Keys(a.gossip.all()))): len(a.gossip.all()) > len(names),
			fmt.Sprint("queues ", stats):                                     len(stats["intent_queue"]) > 2 || len(stats["event_queue"]) > 2 || len(stats["query_queue"]) > 2,
			fmt.Sprint("events ", len(a.gossip.events)):                      len(a.gossip.events) > 0,
		} {
			if over {
				s.t.Errorf("%s holds %s", a.name, what)
			}
		}
	}
	if n := runtime.NumGoroutine(); n > 100*(len(running)+2) {
		s.t.Errorf("%d goroutines for %d agents", n, len(running))
	}
}
