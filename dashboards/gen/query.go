package main

import (
	"fmt"
	"strings"
)

// query is one target of a panel.
type query struct {
	expr   string
	legend string // {{label}} stands for its value; empty: the panel's title
}

// of is a query whose legend is a template of labels.
func of(expr, legend string) query { return query{expr, legend} }

// series selects a metric's series by what is chosen at the top of the
// dashboard. Where nobody has given the series a label cluster, "All" fits them.
func series(metric string, match ...string) string {
	return metric + "{" + strings.Join(append([]string{`cluster=~"$cluster"` + ofNodes}, match...), ",") + "}"
}

// ofNodes is left out on dashboards where no nodes can be chosen.
const ofNodes = `,node=~"$node"`

// The same series comes by several ways when Prometheus scrapes any one node,
// every node, or both: it then differs in instance and job. So everything is
// first made one series by node and the metric's own labels. max does no harm:
// the copies differ by a second or two.

// now is the newest value of a metric with these labels of its own.
func now(metric, labels string, match ...string) string {
	return "max by (" + join("cluster, node", labels) + ") (" + series(metric, match...) + ")"
}

// lowest is like now for what is bad when it is small.
func lowest(metric, labels string, match ...string) string {
	return "min by (" + join("cluster, node", labels) + ") (" + series(metric, match...) + ")"
}

// rate is the increase of a counter per second.
func rate(metric, labels string, match ...string) string {
	return "max by (" + join("cluster, node", labels) + ") (rate(" + series(metric, match...) + "[$__rate_interval]))"
}

// sum adds up, over what by does not name, what is one series each.
func sum(by, expr string) string { return aggregate("sum", by, expr) }

// most takes the largest.
func most(by, expr string) string { return aggregate("max", by, expr) }

// count counts series.
func count(expr string) string { return aggregate("count", "", expr) }

func aggregate(operator, by, expr string) string {
	if by == "" {
		return operator + "(" + expr + ")"
	}
	return operator + " by (" + by + ") (" + expr + ")"
}

// p99 is the 99th percentile of a histogram with these labels of its own, by
// some labels. Where nothing was counted there is nothing, and not NaN.
func p99(by, metric, labels string) string {
	return fmt.Sprintf("histogram_quantile(0.99, %s) > 0", sum(join(by, "le"), rate(metric+"_bucket", join(labels, "le"))))
}

// either is the first of the expressions that has something to say, for each
// set of labels.
func either(exprs ...string) string { return strings.Join(exprs, " or ") }

func join(lists ...string) string {
	var kept []string
	for _, l := range lists {
		if l != "" {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, ", ")
}
