// Package schedule runs the collectors, each in its own goroutine and at its
// own pace, and turns what they see into damped verdicts and metrics. It
// stands between collectors and the health.Snapshot that the mesh spreads.
package schedule

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// Check is a collector and how to run it.
type Check struct {
	Collector collectors.Collector
	Timing    collectors.Timing
	Workload  bool // as in collectors.Spec

	part string // of a collectors.Parted; empty: the collector is whole
}

// parts puts in the place of a collectors.Parted its parts.
func parts(checks []Check) []Check {
	var all []Check
	for _, c := range checks {
		parted, ok := c.Collector.(collectors.Parted)
		if !ok {
			all = append(all, c)
			continue
		}
		for _, p := range parted.Parts() {
			all = append(all, Check{Collector: p.Collector, Timing: p.Timing, Workload: c.Workload, part: p.Name})
		}
	}
	return all
}

// Config is what a Schedule needs.
type Config struct {
	// Known names every check there is, also those that are off.
	Known  []string
	Logger log.Logger
	// Random returns a number from 0 up to but without 1. It spreads the
	// starts; nil means true randomness.
	Random func() float64
	// Grace is how long Run waits for collectors to return once it is to
	// end; 0 means 2 s. A collector that hangs longer is left behind.
	Grace time.Duration
	// StartedUntil is until when the node counts as just started.
	StartedUntil time.Time
}

// Schedule runs checks and holds what they said last. It is a
// prometheus.Collector.
type Schedule struct {
	logger  log.Logger
	random  func() float64
	grace   time.Duration
	changed chan struct{}

	startedUntil time.Time

	mu      sync.Mutex         // guards all below
	records map[string]*record // by key
	loops   []*loop
	retired []*loop         // replaced, but possibly still in their last run
	ctx     context.Context // of Run; nil while it does not run
}

// New returns a schedule without checks. It starts nothing.
func New(cfg Config) *Schedule {
	s := &Schedule{
		logger:  cfg.Logger,
		random:  cfg.Random,
		grace:   cfg.Grace,
		changed: make(chan struct{}, 1),
		records: make(map[string]*record),

		startedUntil: cfg.StartedUntil,
	}
	if s.random == nil {
		s.random = rand.Float64
	}
	if s.grace == 0 {
		s.grace = 2 * time.Second
	}
	for _, name := range cfg.Known {
		s.record(name, "")
	}
	return s
}

// record finds or makes the record of a check or a part. It needs s.mu once
// the schedule is in use.
func (s *Schedule) record(name, part string) *record {
	rec := &record{name: name, part: part}
	if known, ok := s.records[rec.key()]; ok {
		return known
	}
	s.records[rec.key()] = rec
	return rec
}

// Replace makes checks, of different names, the ones that are run. Verdicts
// and counters of a check that was there before are kept; its old run, if one
// is under way, is told to end, and no new one starts before it has. The
// schedule closes collectors that are io.Closers when it is done with them.
func (s *Schedule) Replace(checks []Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = slices.DeleteFunc(s.retired, (*loop).ended)
	for _, l := range s.loops {
		if l.cancel == nil {
			l.close()
			continue
		}
		l.cancel()
		s.retired = append(s.retired, l)
	}
	s.loops = nil
	off := maps.Clone(s.records)
	for _, c := range parts(checks) {
		rec := s.record(c.Collector.Name(), c.part)
		delete(off, rec.key())
		rec.enable(c, time.Now())
		l := &loop{Check: c, schedule: s, record: rec, done: make(chan struct{})}
		for _, old := range s.retired {
			if old.record.key() == rec.key() {
				l.before = old.done // the newest one, which itself waits for those before
			}
		}
		s.loops = append(s.loops, l)
		if s.ctx != nil {
			s.start(l)
		}
	}
	for key, rec := range off {
		if rec.part != "" { // its name may never come back
			whole := s.record(rec.name, "")
			whole.runs += rec.runs
			whole.failures += rec.failures
			delete(s.records, key)
			continue
		}
		rec.disable()
	}
	s.signal()
}

// start needs s.mu. The goroutine is waited for by Run.
func (s *Schedule) start(l *loop) {
	ctx, cancel := context.WithCancel(s.ctx)
	l.cancel = cancel
	go l.run(ctx)
}

func (l *loop) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// Run runs the checks until ctx ends, and returns when all collectors have
// returned and are closed. One that does not return within the grace time is
// left behind: the error names it.
func (s *Schedule) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for _, l := range s.loops {
		s.start(l)
	}
	s.mu.Unlock()
	<-ctx.Done()

	s.mu.Lock()
	all := slices.Concat(s.retired, s.loops)
	s.mu.Unlock()
	grace := time.NewTimer(s.grace)
	defer grace.Stop()
	for _, l := range all {
		select {
		case <-l.done:
		case <-grace.C:
			var left []string
			for _, l := range all {
				if !l.ended() {
					left = append(left, l.record.key())
				}
			}
			return fmt.Errorf("checks did not end within %v and are left behind: %v", s.grace, left)
		}
	}
	return nil
}

// Changed receives after a verdict has changed. Changes that come while the
// last one has not been taken are one.
func (s *Schedule) Changed() <-chan struct{} { return s.changed }

func (s *Schedule) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// FirstRound reports whether every check has said something.
func (s *Schedule) FirstRound() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rec := range s.records {
		if rec.enabled && !rec.looked {
			return false
		}
	}
	return true
}

// Results returns every verdict, sorted by check and subject.
func (s *Schedule) Results() []health.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var results []health.Result
	for _, rec := range s.records {
		s.tell(rec.expire(now))
	}
	states := s.maintained(now)
	for _, rec := range s.records {
		for _, subject := range rec.subjects {
			results = append(results, excused(subject.shown, rec.workload, states))
		}
	}
	sortResults(results)
	return results
}

func sortResults(results []health.Result) {
	slices.SortFunc(results, func(a, b health.Result) int {
		return cmp.Or(cmp.Compare(a.Check, b.Check), cmp.Compare(a.Subject, b.Subject))
	})
}

// apply takes in what a run of l came to, unless l has been replaced.
func (s *Schedule) apply(l *loop, o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.loops, l) {
		return
	}
	now := time.Now()
	before := s.maintained(now)
	changes := l.record.apply(o, now)
	s.tell(append(changes, l.record.expire(now)...))
	if !slices.Equal(before, s.maintained(now)) {
		s.signal()
	}
}

// tell logs changes and signals that there are some.
func (s *Schedule) tell(changes []change) {
	for _, c := range changes {
		leveled := level.Info(s.logger)
		if c.to.Status != health.OK {
			leveled = level.Warn(s.logger)
		}
		if c.to.Status != c.from {
			_ = leveled.Log("msg", "verdict", "check", c.to.Check, "subject", c.to.Subject, "status", c.to.Status, "was", c.from, "reason", c.to.Reason)
		}
	}
	if len(changes) > 0 {
		s.signal()
	}
}

func (s *Schedule) pending(rec *record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return rec.pending()
}

// within returns a random part of d.
func (s *Schedule) within(d time.Duration) time.Duration {
	return time.Duration(s.random() * float64(d))
}
