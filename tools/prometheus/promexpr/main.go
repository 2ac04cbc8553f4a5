// Command promexpr tells what PromQL expressions name, by Prometheus' own
// parser, for tests that hold dashboards and alerts against docs/metrics.md.
//
// On its input are expressions, each a JSON string. For each it prints one
// Expression as a line of JSON.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "promexpr:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, w io.Writer) error {
	dec, out, p := json.NewDecoder(in), json.NewEncoder(w), parser.NewParser(parser.Options{})
	for {
		var expr string
		if err := dec.Decode(&expr); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading an expression: %w", err)
		}
		if err := out.Encode(parse(p, expr)); err != nil {
			return err
		}
	}
}

// Expression is what an expression names.
type Expression struct {
	Type      string     `json:"type,omitempty"` // vector, scalar, ...
	Selectors []Selector `json:"selectors,omitempty"`
	Groupings []Grouping `json:"groupings,omitempty"`
	Made      []string   `json:"made,omitempty"`  // labels that label_replace and its like make
	Error     string     `json:"error,omitempty"` // that of the parser; all else is then empty
}

// Selector is a selector of series.
type Selector struct {
	Metric string   `json:"metric"` // empty when it is not given as one name
	Labels []string `json:"labels,omitempty"`
}

// Grouping is a list of labels by which series are put together (by, without)
// or brought side by side (on, ignoring, group_left, group_right).
type Grouping struct {
	Keyword string   `json:"keyword"`
	Labels  []string `json:"labels,omitempty"`
	Metrics []string `json:"metrics,omitempty"` // of the selectors below it
}

func parse(p parser.Parser, expr string) Expression {
	root, err := p.ParseExpr(expr)
	if err != nil {
		return Expression{Error: err.Error()}
	}
	e := Expression{Type: string(root.Type())}
	parser.Inspect(root, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			e.Selectors = append(e.Selectors, selector(n))
		case *parser.AggregateExpr:
			keyword := "by"
			if n.Without {
				keyword = "without"
			}
			e.Groupings = append(e.Groupings, Grouping{keyword, n.Grouping, metrics(n.Expr)})
			if made, ok := n.Param.(*parser.StringLiteral); ok { // count_values
				e.Made = append(e.Made, made.Val)
			}
		case *parser.BinaryExpr:
			e.Groupings = append(e.Groupings, matching(n)...)
		case *parser.Call:
			if n.Func.Name == "label_replace" || n.Func.Name == "label_join" {
				e.Made = append(e.Made, n.Args[1].(*parser.StringLiteral).Val)
			}
		}
		return nil
	})
	return e
}

func selector(n *parser.VectorSelector) Selector {
	s := Selector{}
	for _, m := range n.LabelMatchers {
		if m.Name != model.MetricNameLabel {
			s.Labels = append(s.Labels, m.Name)
		} else if m.Type.String() == "=" {
			s.Metric = m.Value
		}
	}
	return s
}

func matching(n *parser.BinaryExpr) []Grouping {
	m := n.VectorMatching
	if m == nil {
		return nil
	}
	all := append(metrics(n.LHS), metrics(n.RHS)...)
	var groupings []Grouping
	if m.On || len(m.MatchingLabels) > 0 {
		keyword := "ignoring"
		if m.On {
			keyword = "on"
		}
		groupings = append(groupings, Grouping{keyword, m.MatchingLabels, all})
	}
	if len(m.Include) > 0 {
		keyword, one := "group_left", n.RHS
		if m.Card == parser.CardOneToMany {
			keyword, one = "group_right", n.LHS
		}
		groupings = append(groupings, Grouping{keyword, m.Include, metrics(one)})
	}
	return groupings
}

func metrics(root parser.Node) []string {
	var names []string
	parser.Inspect(root, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			names = append(names, selector(s).Metric)
		}
		return nil
	})
	return names
}
