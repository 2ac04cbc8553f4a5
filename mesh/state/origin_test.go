package state

import (
	"testing"
	"time"
)

// A frame that lay in a connection that hung is as old as it is, whatever age
// it came with.
func TestLateFramesAreOld(t *testing.T) {
	t.Parallel()
	r := newRealm(t)
	a, b := r.store("a", 0), r.store("b", 0)
	age := func() time.Duration {
		t.Helper()
		_, held, _ := value(b, "a")
		return r.now.Sub(held.Made)
	}
	for range 10 {
		r.now = r.now.Add(15 * time.Second)
		publish(t, a, 1)
		b.Apply(delta(t, a))
	}
	if got := age(); got != 0 {
		t.Errorf("a frame that has just been made is %v old", got)
	}
	r.now = r.now.Add(15 * time.Second)
	publish(t, a, 2)
	first := delta(t, a)
	r.now = r.now.Add(15 * time.Second)
	publish(t, a, 3)
	second := delta(t, a)
	r.now = r.now.Add(35 * time.Second) // both hang
	b.Apply(first)
	if got := age(); got != 50*time.Second {
		t.Errorf("the first frame of those that hung is taken to be %v old, it is 50s", got)
	}
	b.Apply(second)
	if got := age(); got != 35*time.Second {
		t.Errorf("the second is taken to be %v old, it is 35s", got)
	}
	r.now = r.now.Add(time.Second)
	publish(t, a, 4)
	b.Apply(delta(t, a))
	if got := age(); got != 0 {
		t.Errorf("the first frame after it is %v old", got)
	}
}

// The clock of a machine that was paused stands still meanwhile. Its frames
// look old for a while, not for good.
func TestPausedMachine(t *testing.T) {
	t.Parallel()
	r := newRealm(t)
	a, b := r.store("a", 0), r.store("b", 0)
	for i := range 20 {
		r.now = r.now.Add(15 * time.Second)
		if i == 5 {
			a.up = a.up.Add(time.Minute)
		}
		publish(t, a, 1)
		b.Apply(delta(t, a))
		_, held, _ := value(b, "a")
		if got := r.now.Sub(held.Made); got > 0 && (i < 5 || i > 12) || got > time.Minute {
			t.Errorf("frame %d is taken to be %v old", i, got)
		}
	}
}
