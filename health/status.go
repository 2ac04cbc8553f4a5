// Package health holds the words every other package speaks: a Status, a
// Result about one subject, and the Snapshot of all that one node knows of
// itself. It is the leaf of the import graph and imports nothing of ours.
package health

import "fmt"

// Status is a verdict, numbered as monitoring plugins number theirs, so that
// it serves as an exit code and as the value of grapevine_check_status.
type Status uint8

// The four verdicts. Unknown means "could not be asked" and is never OK.
const (
	OK Status = iota
	Warning
	Critical
	Unknown
)

var statusNames = [...]string{"ok", "warning", "critical", "unknown"}

// String returns ok, warning, critical or unknown.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// MarshalText makes Status read as a word in JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts the four words of String and nothing else.
func (s *Status) UnmarshalText(text []byte) error {
	for i, name := range statusNames {
		if name == string(text) {
			*s = Status(i)
			return nil
		}
	}
	return fmt.Errorf("status %q is none of ok, warning, critical, unknown", text)
}

// severity orders verdicts by how much they should worry a person: what is
// known to be bad ranks above what is not known.
var severity = [...]int{OK: 0, Unknown: 1, Warning: 2, Critical: 3}

// WorseThan reports whether s should be shown before t.
func (s Status) WorseThan(t Status) bool { return s.rank() > t.rank() }

func (s Status) rank() int {
	if int(s) < len(severity) {
		return severity[s]
	}
	return severity[Unknown]
}

// Worst returns the most severe status of results, and Unknown for none:
// a node that says nothing is not healthy.
func Worst(results []Result) Status {
	if len(results) == 0 {
		return Unknown
	}
	worst := OK
	for _, r := range results {
		if r.Status.WorseThan(worst) {
			worst = r.Status
		}
	}
	return worst
}
