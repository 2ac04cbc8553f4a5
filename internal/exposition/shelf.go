package exposition

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// piece is a section, rendered and encoded. It is immutable.
type piece struct {
	generation uint64 // latest of its groups
	size       int    // before it was encoded
	sum        checksum
	data       []byte
}

// shelf keeps the pieces of one kind of answer about the whole View, from one
// scrape to the next.
type shelf struct {
	refreshing sync.Mutex // held by who brings the shelf up to date; others wait for that

	mu     sync.Mutex // guards what follows, never for long
	form   *form
	pieces []*piece // by section; nil for those that are never kept

	used time.Time // guarded by Renderer.mu
}

// maxRenderers is how many goroutines bring one shelf up to date at once, and
// worthwhile how many sections each of them has to do, to be worth the megabyte
// of its encoder: a thousand nodes have some 150.
const maxRenderers, worthwhile = 4, 16

// refresh renders the sections of a that are not what the shelf has.
func (s *shelf) refresh(a *answer) {
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	stale := s.stale(a)
	var next atomic.Int32
	render := func() {
		d := desks.take()
		defer desks.giveBack(d)
		for i := int(next.Add(1)) - 1; i < len(stale); i = int(next.Add(1)) - 1 {
			s.put(a.form, stale[i], a.piece(stale[i], d))
		}
	}
	var others sync.WaitGroup
	var broken atomic.Pointer[any]
	for range min(maxRenderers, runtime.GOMAXPROCS(0), 1+len(stale)/worthwhile) - 1 {
		others.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					broken.Store(&p)
				}
			}()
			render()
		})
	}
	defer func() {
		others.Wait()
		if p := broken.Load(); p != nil {
			panic(*p) // where it ends one request and not the agent
		}
	}()
	render()
}

// stale lists the sections that are to be rendered for a.
func (s *shelf) stale(a *answer) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.form != a.form {
		s.form, s.pieces = a.form, make([]*piece, len(a.form.sections))
	}
	stale := a.stale[:0]
	for i := range a.form.sections {
		if section := &a.form.sections[i]; a.keeps(section) {
			if p := s.pieces[i]; p == nil || p.generation != latest(a.generations, section) {
				stale = append(stale, i)
			}
		}
	}
	a.stale = stale
	return stale
}

func (s *shelf) put(f *form, section int, p *piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.form == f {
		s.pieces[section] = p
	}
}

// piece returns a section of f as of a generation; nil if the shelf has
// another one by now.
func (s *shelf) piece(f *form, section int, generation uint64) *piece {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.form != f {
		return nil
	}
	if p := s.pieces[section]; p != nil && p.generation == generation {
		return p
	}
	return nil
}
