package main

import "time"

// what says what happens in an event.
type what uint8

const (
	publishes what = iota // a node says something new
	flushes               // a relay passes on what has gathered
	repairs               // a node compares what it holds with another's
	arrives               // a cast reaches a node
)

type event struct {
	at   time.Duration
	seq  uint64 // breaks ties, so that every run is the same
	what what
	node int32
	cast *cast
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// queue is a heap of what is to come.
type queue struct {
	events []event
	seq    uint64
}

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.events = append(q.events, e)
	for i := len(q.events) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.events[i].before(&q.events[parent]) {
			return
		}
		q.events[i], q.events[parent] = q.events[parent], q.events[i]
		i = parent
	}
}

func (q *queue) pop() event {
	top, last := q.events[0], len(q.events)-1
	q.events[0] = q.events[last]
	q.events[last] = event{}
	q.events = q.events[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q.events[child].before(&q.events[least]) {
				least = child
			}
		}
		if least == i {
			return top
		}
		q.events[i], q.events[least] = q.events[least], q.events[i]
		i = least
	}
}
