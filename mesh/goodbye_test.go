package mesh

import (
	"testing"
	"time"
)

func TestGoodbye(t *testing.T) {
	t.Parallel()
	type word struct {
		after time.Duration
		said  MemberState
		want  MemberState
		stuck bool
	}
	for name, words := range map[string][]word{
		"a goodbye": {
			{0, MemberAlive, MemberAlive, false}, {time.Second, MemberLeaving, MemberLeaving, false},
			{4 * time.Second, MemberLeft, MemberLeft, false},
		},
		"back, but leaving to serf": {
			{0, MemberLeaving, MemberLeaving, false}, {20 * time.Second, MemberLeaving, MemberAlive, true},
			{time.Hour, MemberLeft, MemberFailed, true}, // it died
			{time.Hour, MemberAlive, MemberAlive, false},
			{time.Second, MemberLeaving, MemberLeaving, false}, {time.Second, MemberLeft, MemberLeft, false},
		},
		"failed": {{0, MemberFailed, MemberFailed, false}, {time.Hour, MemberLeft, MemberLeft, false}},
	} {
		var g goodbyes
		now := time.Now()
		for i, w := range words {
			now = now.Add(w.after)
			if got := g.state("a", w.said, now); got != w.want || g.stuck("a", now) != w.stuck {
				t.Errorf("%s, word %d: %v, stuck %v; want %v, %v", name, i, got, g.stuck("a", now), w.want, w.stuck)
			}
		}
		g.keep(map[string]Member{})
		if len(g.since)+len(g.late) > 0 {
			t.Errorf("%s: it remembers %v, %v", name, g.since, g.late)
		}
	}
}
