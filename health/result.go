package health

import "time"

// Result is one verdict about one subject.
type Result struct {
	Check   string // name of the check, as in --collector.NAME
	Subject string // what it is about: an endpoint, a mount point, a peer
	Status  Status
	Reason  string // one sentence for a person; may be empty when OK

	Evidence Evidence

	// Observed is when the check last looked, Since when Status last changed.
	// Both are on the clock of the host that holds the value; between hosts
	// only ages travel, so that a skewed clock cannot make old news fresh.
	Observed time.Time
	Since    time.Time
}

// Evidence is the measured value behind a verdict and the limit it was held
// against. An empty Unit means that there is none.
type Evidence struct {
	Value     float64
	Threshold float64
	Unit      string // base unit: "seconds", "bytes", "ratio", "entries"
}
