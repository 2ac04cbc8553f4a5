package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/internal/agent"
)

// explanation is what check --explain says of one check.
type explanation struct {
	Check    string              `json:"check"`
	Measures string              `json:"measures"`
	Why      string              `json:"why"`
	Remedy   string              `json:"remedy"`
	Subject  string              `json:"subject"`
	Timing   string              `json:"timing"`
	Metrics  []explanationMetric `json:"metrics"`
}

type explanationMetric struct {
	Name   string   `json:"name"`
	Labels []string `json:"labels,omitempty"`
	Help   string   `json:"help"`
}

// explain prints what the wanted checks measure, why that matters and what to
// do; all checks when none is wanted. It looks at nothing.
func explain(w io.Writer, wanted []string, checks map[string]collectors.Settings, output string) error {
	all := []explanation{}
	for _, spec := range agent.Specs() {
		if len(wanted) > 0 && !slices.Contains(wanted, spec.Name) {
			continue
		}
		var pace string
		if s, ok := checks[spec.Name].(interface{ Pace() string }); ok { // it keeps time by itself
			pace = s.Pace()
		} else {
			t := checks[spec.Name].Schedule()
			pace = fmt.Sprintf("every %v; bad after %d bad runs in a row, good again after %d good ones", t.Interval, t.FailureThreshold, t.SuccessThreshold)
		}
		e := explanation{
			Check: spec.Name, Measures: sentence(spec.Summary), Why: spec.Why, Remedy: spec.Remedy, Subject: spec.Subject,
			Timing: pace,
		}
		for _, m := range spec.Metrics {
			e.Metrics = append(e.Metrics, explanationMetric{m.Name, m.Labels, m.Help})
		}
		all = append(all, e)
	}
	if output == "json" {
		return printJSON(w, all)
	}
	for i, e := range all {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		if err := e.print(w); err != nil {
			return err
		}
	}
	return nil
}

// sentence makes a summary, which begins in lower case, a sentence.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

func (e *explanation) print(w io.Writer) error {
	t := table(w)
	_, _ = fmt.Fprintf(t, "%s\n", e.Check)
	for _, line := range [][2]string{
		{"measures", e.Measures}, {"matters", e.Why}, {"to do", e.Remedy}, {"subject", e.Subject}, {"runs", e.Timing},
	} {
		_, _ = fmt.Fprintf(t, "  %s\t%s\n", line[0], line[1])
	}
	_, _ = fmt.Fprint(t, "  metrics\n")
	for _, m := range e.Metrics {
		_, _ = fmt.Fprintf(t, "    %s\t%s\n", m.Name, m.Help)
	}
	return t.Flush()
}
