package reach

import "time"

// State is what is known of one way to a peer.
type State uint8

// The states of a way.
const (
	Untried State = iota // not seen working yet, nor found broken
	Open
	Shut
)

// confirm is how many tries in a row must fail before a way counts as shut:
// one lost packet is no cut.
const confirm = 3

// Trail follows the tries of one way to a peer. The zero Trail has none.
type Trail struct {
	state    State
	failures int       // in a row, up to now
	worked   time.Time // when a try last succeeded; zero: none has
}

// Note takes in how a try that ended at now went.
func (t *Trail) Note(worked bool, now time.Time) {
	if worked {
		*t = Trail{state: Open, worked: now}
		return
	}
	if t.failures++; t.failures >= confirm {
		t.state = Shut
	}
}

// State is what to make of the tries so far.
func (t *Trail) State() State { return t.state }

// Doubtful tells that the last try failed, but not enough of them in a row.
func (t *Trail) Doubtful() bool { return t.failures > 0 && t.state != Shut }

// Worked is when a try last succeeded; zero: none has.
func (t *Trail) Worked() time.Time { return t.worked }

// Link is what one node knows of its ways to one other.
type Link struct {
	Exchange State // there and back over the exchange
	Gossip   State // there and back over the gossip
	Inbound  State // whether gossip of the other arrives here
}

// Known tells whether anything is known.
func (l Link) Known() bool { return l != Link{} }
