// Package promql holds PromQL expressions of dashboards and alerts against what
// docs/metrics.md says is exported, with Prometheus' own parser.
package promql

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/grapevine-mesh/grapevine/test/real"
)

// Expression is what an expression names, as bin/promexpr tells it.
type Expression struct {
	Type      string // vector, scalar, matrix or string
	Selectors []Selector
	Groupings []Grouping
	Made      []string // labels that label_replace and its like make
	Error     string   // of the parser; all else is then empty
}

// Selector is a selector of series.
type Selector struct {
	Metric string // empty when it is not given as one name
	Labels []string
}

// Grouping is a list of labels after a keyword: by, without, on, ignoring,
// group_left or group_right.
type Grouping struct {
	Keyword string
	Labels  []string
	Metrics []string // of the selectors it is about
}

// Parse returns what each of the expressions names.
func Parse(tb testing.TB, exprs ...string) []Expression {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), real.Binary(tb, "promexpr"))
	var in, problems bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, e := range exprs {
		if err := enc.Encode(e); err != nil {
			tb.Fatal(err)
		}
	}
	cmd.Stdin, cmd.Stderr = &in, &problems
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("promexpr: %v: %s", err, problems.String())
	}
	parsed := make([]Expression, len(exprs))
	dec := json.NewDecoder(bytes.NewReader(out))
	for i := range parsed {
		if err := dec.Decode(&parsed[i]); err != nil {
			tb.Fatalf("promexpr on %s: %v", exprs[i], err)
		}
	}
	return parsed
}
