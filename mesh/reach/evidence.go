// Package reach makes out of what a node sees of the others a picture: who is
// reached, who is on the other side of a split, and which way between whom is
// cut. It stands beside mesh/state below mesh; it opens no connection and
// takes the time from outside.
package reach

import "time"

// Evidence is all that a picture is made of.
type Evidence struct {
	Self    string
	Now     time.Time
	Members []Member // all known but Self, and but those that said goodbye

	// Seeking is since when Self, who knows nobody, has tried in vain to join
	// those that it was told of, or knew in an earlier life. Zero: it has not.
	Seeking time.Time

	// Links is who says what of whom, by observer and peer: Self's own, and
	// those of nodes whose words arrive in time.
	Links map[string]map[string]Link
}

// Member is another node, as Self has it.
type Member struct {
	Name     string
	Age      time.Duration // of its newest word; below 0: none ever came
	Interval time.Duration // at which it promised its words; 0: none ever came
	Since    time.Time     // when Self first heard of it
	Exchange Trail         // Self's own tries

	Failed  bool // the gossip has given it up: a hint
	Away    bool // it had said that it would be away
	Refused bool // its host answers that no agent listens
}

// Overdue is the age at which a node has missed two words and the third is
// late by more than the way here takes.
func Overdue(interval time.Duration) time.Duration { return 3*interval + Slack }

// Slack is for the way of a frame.
const Slack = 2 * time.Second

// Late is the age from which a word is waited for, so that it is worth to
// look at once.
func Late(interval time.Duration) time.Duration { return interval + interval*2/5 }

// missed is the age at which a word has not come that must have, however many
// hops are on its way.
func missed(interval time.Duration) time.Duration { return 2 * interval }

// grace is how long a new member has until its silence means anything.
const grace = 15 * time.Second

// answered is how long an answer says that a member is there.
const answered = 12 * time.Second

// reached tells whether m can be spoken with, now: its words come in time, or
// it has just answered.
func (m *Member) reached(now time.Time) bool {
	switch {
	case m.Age >= 0 && m.Age <= missed(m.Interval),
		m.Exchange.State() == Open && now.Sub(m.Exchange.Worked()) < answered:
		return true
	case m.Age < 0 && now.Sub(m.Since) < grace:
		return true // until it has had its chance
	case m.Exchange.State() == Shut, m.Refused, m.Failed:
		return false
	default:
		return m.Age >= 0 && m.Age <= Overdue(m.Interval)
	}
}

// last is when m was last known to be reached.
func (m *Member) last(now time.Time) time.Time {
	last := m.Since
	if m.Age >= 0 {
		last = now.Add(-m.Age)
	}
	if m.Exchange.Worked().After(last) {
		last = m.Exchange.Worked()
	}
	return last
}
