package main

import (
	"fmt"
	"math"
)

// object is JSON whose shape is Grafana's: see dashboards/schema.json.
type object = map[string]any

// panel is what one panel shows. Its place follows from its width and those
// before it.
type panel struct {
	kind        string // of Grafana's: stat, timeseries, table, ...
	title       string
	description string
	w           int // of 24
	queries     []query
	unit        string
	steps       steps
	min, max    *float64
	mappings    []any
	noValue     string // what is shown when there is no data; empty: Grafana's own words
	runbooks    []string
	options     object
	custom      object // of the field configuration
	overrides   []any
	transform   []any
	instant     bool // the newest values, as a table
}

// step is a colour from a value on.
type step struct {
	from  float64
	color string
}

// steps are the colours by value. Below the first, and where there is no
// value, things have no colour; in a graph the first holds from -Inf on.
type steps []step

const (
	good = "green"
	fair = "yellow"
	warn = "orange"
	bad  = "red"
	dim  = "purple"  // unknown: never the colour of health, nor of trouble
	none = "#5c5c66" // there is no such thing here
	calm = "text"    // a number that is neither good nor bad
)

// over is good below two values, then a warning, then bad.
func over(warning, critical float64) steps {
	return steps{{0, good}, {warning, warn}, {critical, bad}}
}

// under is bad below a value, a warning below another, and good from there.
func under(critical, warning float64) steps {
	return steps{{0, bad}, {critical, warn}, {warning, good}}
}

// fromOne is good at 0 alone.
func fromOne(color string) steps { return steps{{0, good}, {1, color}} }

// expiry is for the time until a certificate expires.
var expiry = steps{{math.Inf(-1), bad}, {86400, warn}, {604800, good}}

// flag is bad at 0 and good at 1.
var flag = steps{{0, bad}, {1, good}}

// statusSteps are the colours of verdicts by their numbers.
var statusSteps = steps{{0, good}, {1, warn}, {2, bad}, {3, dim}}

// json is how Grafana has the steps, with a colour for what has no value: no
// data must never look like health.
func (s steps) json(without string) object {
	list := []any{object{"color": without, "value": nil}}
	for _, step := range s {
		switch {
		case math.IsInf(step.from, -1):
			list[0] = object{"color": step.color, "value": nil}
		case step.from == 0 && without == lines: // no line along the bottom
			list[0] = object{"color": step.color, "value": nil}
		default:
			list = append(list, object{"color": step.color, "value": step.from})
		}
	}
	return object{"mode": "absolute", "steps": list}
}

// value is a mapping of numbers to words and colours.
func value(words ...word) []any {
	options := object{}
	for i, w := range words {
		options[fmt.Sprint(w.number)] = object{"text": w.text, "color": w.color, "index": i}
	}
	return []any{object{"type": "value", "options": options}}
}

type word struct {
	number int
	text   string
	color  string
}

// span is a mapping of numbers from one to another to a word.
func span(from, to float64, text, color string) any {
	return object{"type": "range", "options": object{"from": from, "to": to, "result": object{"text": text, "color": color}}}
}

var (
	statusWords = value(word{0, "OK", good}, word{1, "Warning", warn}, word{2, "Critical", bad}, word{3, "Unknown", dim})
	yesNo       = value(word{0, "no", bad}, word{1, "yes", good})
	noYes       = value(word{0, "no", good}, word{1, "yes", bad})
)

func number(v float64) *float64 { return &v }

// Each of these returns the panel with something more.

// verdict shows numbers as verdicts.
func (p panel) verdict() panel { return p.words(statusWords).colored(statusSteps) }

func (p panel) colored(s steps) panel { p.steps = s; return p }

func (p panel) words(m []any) panel { p.mappings = m; return p }

// share lets a graph go up to 100 %.
func (p panel) share() panel { p.max = number(1); return p }

func (p panel) empty(text string) panel { p.noValue = text; return p }

func (p panel) runbook(alerts ...string) panel { p.runbooks = alerts; return p }

func (p panel) wide(w int) panel { p.w = w; return p }
