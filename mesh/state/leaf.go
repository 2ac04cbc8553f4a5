package state

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Inquiry is how a store that holds verdicts only asks one that holds more
// what is new. The nodes fall into chapters by a hash of their names; of each
// chapter it says one sum.
type Inquiry struct {
	Sums []uint64

	asked    time.Time
	chapters [][]heldVerdicts
}

type heldVerdicts struct {
	name     string
	verdicts uint64
}

// Chapter answers for one chapter of an Inquiry. If both sides hold the same
// verdicts, it says ages alone, in the order of the names; else whose verdicts
// and ages are whose.
type Chapter struct {
	Ages  []byte // a varint each, in steps of ageStep; nil if the sums differ
	Nodes []Verdicts
}

// Verdicts are those of one node: a sum to compare them by, and their age.
type Verdicts struct {
	Name string
	Sum  uint64
	Age  time.Duration
}

const (
	// nodesEach is how many nodes a chapter has: a change in one of them costs
	// telling them all apart.
	nodesEach = 32
	// maxChapters bounds what a peer can ask for.
	maxChapters = 10_000
	// ageStep is the grain of ages. They are rounded up: never fresher than
	// true.
	ageStep = 100 * time.Millisecond
)

func chapterOf(name string, chapters int) int {
	return int(xxhash.Sum64String(name) % uint64(chapters))
}

// chapters sorts what is held into so many chapters, but for one name.
func (s *Store) chapters(n int, but string) ([][]string, []uint64) {
	names, sums := make([][]string, n), make([]uint64, n)
	r := s.sorted()
	for i, name := range r.names {
		if name == but {
			continue
		}
		c := chapterOf(name, n)
		names[c] = append(names[c], name)
		sums[c] += r.nodes[i].verdicts
	}
	return names, sums
}

// Inquire asks what is new of all others.
func (s *Store) Inquire() Inquiry {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := max(1, len(s.nodes)/nodesEach)
	names, sums := s.chapters(n, s.cfg.Self)
	q := Inquiry{Sums: sums, asked: s.cfg.Now(), chapters: make([][]heldVerdicts, n)}
	for c := range names {
		for _, name := range names[c] {
			q.chapters[c] = append(q.chapters[c], heldVerdicts{name, s.nodes[name].verdicts})
		}
	}
	return q
}

// Tell answers an inquiry of peer.
func (s *Store) Tell(peer string, theirs []uint64) ([]Chapter, error) {
	if len(theirs) == 0 || len(theirs) > maxChapters {
		return nil, fmt.Errorf("an inquiry of %d chapters", len(theirs))
	}
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	names, sums := s.chapters(len(theirs), peer)
	chapters := make([]Chapter, len(theirs))
	for c := range chapters {
		agreed := sums[c] == theirs[c]
		if agreed {
			chapters[c].Ages = make([]byte, 0, 2*len(names[c]))
		}
		for _, name := range names[c] {
			n := s.nodes[name]
			age := max(0, now.Sub(n.fresh))
			if agreed {
				chapters[c].Ages = binary.AppendUvarint(chapters[c].Ages, uint64((age+ageStep-1)/ageStep))
			} else {
				chapters[c].Nodes = append(chapters[c].Nodes, Verdicts{name, n.verdicts, age})
			}
		}
	}
	return chapters, nil
}

// Hear takes in the answer to q: how old what is held is by now. It returns
// the names whose verdicts are others than those held.
func (s *Store) Hear(q Inquiry, chapters []Chapter) (wants []string, _ error) {
	if len(chapters) != len(q.chapters) {
		return nil, fmt.Errorf("an answer of %d chapters to an inquiry of %d", len(chapters), len(q.chapters))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, chapter := range chapters {
		b := chapter.Ages
		for _, held := range q.chapters[c] {
			if len(chapter.Ages) == 0 {
				break
			}
			steps, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, fmt.Errorf("an answer with ages of fewer than the %d nodes asked for", len(q.chapters[c]))
			}
			b = b[n:]
			// The answer was true when it was given: at the time of asking at
			// the earliest.
			s.freshen(held.name, held.verdicts, q.asked.Add(-time.Duration(min(steps, uint64(s.cfg.ForgetAfter/ageStep)))*ageStep))
		}
		for _, v := range chapter.Nodes {
			if v.Name != s.cfg.Self && !s.freshen(v.Name, v.Sum, q.asked.Add(-max(0, v.Age))) {
				wants = append(wants, v.Name)
			}
		}
	}
	return slices.DeleteFunc(wants, func(name string) bool { return !s.cfg.Trust.Member(name) }), nil
}

// freshen notes that the verdicts held of name were still true at that time.
// It is false if others are held. It needs s.mu.
func (s *Store) freshen(name string, verdicts uint64, at time.Time) bool {
	n := s.nodes[name]
	if n == nil || n.verdicts != verdicts {
		return false
	}
	if at.After(n.fresh) {
		n.fresh = at
	}
	return true
}

// Bare returns the frames of names without their values, at most budget bytes.
func (s *Store) Bare(names []string, budget int) []Relayed {
	now := s.cfg.Now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Relayed
	for _, name := range names {
		n := s.nodes[name]
		if n == nil {
			continue
		}
		raw := n.frame.WithoutValues().Raw
		if budget -= len(raw); budget < 0 {
			break
		}
		out = append(out, Relayed{Raw: raw, Age: now.Sub(n.made)})
	}
	return out
}

// MeanBytes is the mean size of the frames that are held with their values; 0
// if none are.
func (s *Store) MeanBytes() float64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sum, n := 0, 0
	for _, node := range s.nodes {
		if !node.frame.Bare {
			sum, n = sum+len(node.frame.Raw), n+1
		}
	}
	return float64(sum) / float64(max(1, n))
}
