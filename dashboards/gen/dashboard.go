package main

import "strings"

const (
	source   = "https://github.com/grapevine-mesh/grapevine/blob/main/"
	runbooks = source + "alerts/runbooks/"
	checks   = source + "docs/checks.md"
)

// dashboard is rows of panels.
type dashboard struct {
	name        string // of the file; its uid is grapevine-name
	title       string
	description string
	nodes       bool // whether nodes can be chosen; else all are shown
	rows        []row
}

// row is panels of one height beside each other, in several lines where they
// do not fit into one. Without a title it has no heading.
type row struct {
	title  string
	height int
	panels []panel
}

func (d dashboard) json(list []dashboard) object {
	return object{
		"uid": "grapevine-" + d.name, "title": "Grapevine / " + d.title, "description": d.description,
		"tags": []any{"grapevine"}, "editable": false, "graphTooltip": 1, "liveNow": false, "preload": false,
		"schemaVersion": 39, "version": 1, "weekStart": "", "timezone": "browser", "refresh": "30s", "fiscalYearStartMonth": 0,
		"time": object{"from": "now-1h", "to": "now"}, "timepicker": object{},
		"annotations": object{"list": []any{}}, "links": d.links(list),
		"templating": object{"list": d.variables()},
		"panels":     d.panels(),
	}
}

func (d dashboard) links(list []dashboard) []any {
	var links []any
	for _, other := range list {
		if other.name != d.name {
			links = append(links, link(other.title, "/d/grapevine-"+other.name, false))
		}
	}
	return append(links, link("Runbooks", source+"alerts/runbooks", true), link("What is checked", checks, true))
}

// link is one to another dashboard, or outside, to a text.
func link(title, url string, outside bool) object {
	return object{
		"type": "link", "title": title, "url": url, "tooltip": "", "tags": []any{}, "icon": "external link",
		"asDropdown": false, "includeVars": !outside, "keepTime": !outside, "targetBlank": outside,
	}
}

var prometheus = object{"type": "prometheus", "uid": "${datasource}"}

// variables are what is chosen at the top. "All" stands for any value, none
// included: most Prometheus servers have no label cluster.
func (d dashboard) variables() []any {
	everything := object{"selected": true, "text": "All", "value": "$__all"}
	variable := func(name, title, query string, multi bool) object {
		return object{
			"type": "query", "name": name, "label": title, "hide": 0, "skipUrlSync": false, "datasource": prometheus,
			"query": object{"query": query, "refId": name}, "regex": "", "sort": 5, "refresh": 2,
			"multi": multi, "includeAll": true, "allValue": ".*", "current": everything, "options": []any{},
		}
	}
	list := []any{
		object{
			"type": "datasource", "name": "datasource", "label": "Data source", "hide": 0, "skipUrlSync": false, "query": "prometheus",
			"regex": "", "refresh": 1, "multi": false, "includeAll": false, "current": object{"text": "default", "value": "default"}, "options": []any{},
		},
		variable("cluster", "Cluster", "label_values(grapevine_node_info, cluster)", false),
	}
	if d.nodes {
		list = append(list, variable("node", "Node", `label_values(grapevine_node_info{cluster=~"$cluster"}, node)`, true))
	}
	return list
}

// panels places the rows from top to bottom, and their panels from left to
// right.
func (d dashboard) panels() []any {
	var list []any
	id, y := 0, 0
	add := func(p object, x, w, h int) {
		id++
		p["id"], p["gridPos"] = id, object{"x": x, "y": y, "w": w, "h": h}
		list = append(list, p)
	}
	for _, r := range d.rows {
		if r.title != "" {
			add(object{"type": "row", "title": r.title, "collapsed": false, "panels": []any{}}, 0, 24, 1)
			y++
		}
		x := 0
		for _, p := range r.panels {
			if x+p.w > 24 {
				x, y = 0, y+r.height
			}
			add(p.json(d.nodes), x, p.w, r.height)
			x += p.w
		}
		y += r.height
	}
	return list
}

func (p panel) json(nodes bool) object {
	defaults := object{"color": object{"mode": p.colors()}, "thresholds": p.steps.json(p.without()), "mappings": p.mappings, "unit": p.unit, "custom": p.custom}
	if p.unit == "" {
		defaults["unit"] = "none"
	}
	if p.mappings == nil {
		defaults["mappings"] = []any{}
	}
	if p.custom == nil {
		defaults["custom"] = object{}
	}
	if p.min != nil {
		defaults["min"] = *p.min
	}
	if p.max != nil {
		defaults["max"] = *p.max
	}
	if p.noValue != "" {
		defaults["noValue"] = p.noValue
	}
	targets := make([]any, len(p.queries))
	for i, q := range p.queries {
		if !nodes { // a choice that came along from another dashboard must not hide anything
			q.expr = strings.ReplaceAll(q.expr, ofNodes, "")
		}
		targets[i] = p.target(q, string(rune('A'+i)))
	}
	overrides := p.overrides
	if overrides == nil {
		overrides = []any{}
	}
	o := object{
		"type": p.kind, "title": p.title, "description": p.description, "datasource": prometheus, "targets": targets,
		"fieldConfig": object{"defaults": defaults, "overrides": overrides}, "options": p.options, "links": p.links(),
	}
	if p.transform != nil {
		o["transformations"] = p.transform
	}
	return o
}

// colors tells lines apart by colour; everything else has that of its value.
func (p panel) colors() string {
	if p.kind == "timeseries" {
		return "palette-classic"
	}
	return "thresholds"
}

// without is the colour of what has no value.
func (p panel) without() string {
	switch {
	case p.kind == "timeseries":
		return lines
	case p.kind == "table":
		return "transparent"
	case len(p.steps) == 0:
		return calm
	case p.noValue == noData || p.noValue == silent:
		return dim
	}
	return none
}

const (
	lines  = "text" // of a graph's thresholds; each has a colour of its own
	noData = "NO DATA"
	silent = "SILENT"
)

func (p panel) target(q query, ref string) object {
	t := object{"refId": ref, "datasource": prometheus, "expr": q.expr, "legendFormat": q.legend, "editorMode": "code", "instant": p.instant, "range": !p.instant, "format": "time_series"}
	switch {
	case p.instant:
		t["format"] = "table"
	case p.kind == "heatmap":
		t["format"] = "heatmap"
	case q.legend == "":
		t["legendFormat"] = p.title
	}
	return t
}

func (p panel) links() []any {
	links := []any{}
	for _, alert := range p.runbooks {
		links = append(links, link("Runbook: "+alert, runbooks+alert+".md", true))
	}
	return links
}
