package main

import "fmt"

// stat is one large number, or one for each series.
func stat(title, description, unit string, queries ...query) panel {
	return panel{
		kind: "stat", title: title, description: description, unit: unit, queries: queries, w: 4,
		options: object{
			"colorMode": "background", "graphMode": "none", "justifyMode": "center", "orientation": "auto",
			"textMode": "auto", "wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard", "reduceOptions": object{"calcs": []any{"lastNotNull"}, "fields": "", "values": false},
		},
	}
}

// plain shows a stat's number in colour, not its background.
func (p panel) plain() panel {
	p.options["colorMode"] = "value"
	return p
}

// graph is lines over time. Values below 0 are not expected.
func graph(title, description, unit string, queries ...query) panel {
	return panel{
		kind: "timeseries", title: title, description: description, unit: unit, queries: queries, w: 8, min: number(0),
		options: object{
			"legend":  object{"calcs": []any{}, "displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": object{"mode": "multi", "sort": "desc", "hideZeros": false},
		},
		custom: object{
			"drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never",
			"spanNulls": false, "axisPlacement": "auto", "stacking": object{"mode": "none", "group": "A"},
			"thresholdsStyle": object{"mode": "off"},
		},
	}
}

// limits draws the thresholds of a graph as lines.
func (p panel) limits(s steps) panel {
	p.steps = s
	p.custom["thresholdsStyle"] = object{"mode": "dashed"}
	return p
}

// stacked puts the lines of a graph on top of each other.
func (p panel) stacked() panel {
	p.custom["stacking"] = object{"mode": "normal", "group": "A"}
	p.custom["fillOpacity"] = 40
	return p
}

// byStatus draws lines that are named after a status in its colour.
func (p panel) byStatus() panel {
	for _, line := range []struct{ status, color string }{{"ok", good}, {"warning", warn}, {"critical", bad}, {"unknown", dim}} {
		p.overrides = append(p.overrides, object{"matcher": object{"id": "byName", "options": line.status}, "properties": []any{
			object{"id": "color", "value": object{"mode": "fixed", "fixedColor": line.color}},
		}})
	}
	return p
}

// signed lets a graph go below 0.
func (p panel) signed() panel {
	p.min = nil
	return p
}

// timeline is the verdict of each series over time, as colours.
func timeline(title, description string, q query) panel {
	return panel{
		kind: "state-timeline", title: title, description: description, queries: []query{q}, w: 24, mappings: statusWords, steps: statusSteps,
		options: object{
			"alignValue": "left", "mergeValues": true, "rowHeight": 0.85, "showValue": "never",
			"legend":  object{"calcs": []any{}, "displayMode": "list", "placement": "bottom", "showLegend": true},
			"tooltip": object{"mode": "single", "sort": "none"},
		},
		custom: object{"fillOpacity": 85, "lineWidth": 0},
	}
}

// heat is a histogram over time: how many answers took how long.
func heat(title, description, unit string, q query) panel {
	return panel{
		kind: "heatmap", title: title, description: description, queries: []query{q}, w: 12,
		options: object{
			"calculate": false, "cellGap": 1, "color": object{"mode": "scheme", "scheme": "Turbo", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "reverse": false, "scale": "exponential"},
			"exemplars": object{"color": "rgba(255,0,255,0.7)"}, "filterValues": object{"le": 1e-9},
			"legend": object{"show": true}, "rowsFrame": object{"layout": "auto"}, "showValue": "never",
			"tooltip": object{"mode": "single", "yHistogram": true, "showColorScale": true}, "yAxis": object{"axisPlacement": "left", "reverse": false, "unit": unit},
		},
		custom: object{"scaleDistribution": object{"type": "linear"}},
	}
}

// column is a label that a table shows.
type column struct {
	label string // "Value" for the value, "Value #B" for that of the second query
	title string
	width int    // 0: as it comes
	link  string // to another dashboard or a text
	paint bool   // in the colour of the value
	unit  string // empty: the panel's
	words []any
	steps steps
}

// list is a table of the newest values, one line for each series. Only the
// columns named are shown, in their order, and lines are sorted by the first.
func list(title, description, unit string, columns []column, queries ...query) panel {
	p := panel{
		kind: "table", title: title, description: description, unit: unit, queries: queries, w: 12, instant: true,
		options: object{"cellHeight": "sm", "showHeader": true, "frameIndex": 0},
		custom:  object{"align": "left", "cellOptions": object{"type": "auto"}, "filterable": false, "inspect": false},
	}
	index, rename, names := object{}, object{}, []any{}
	for i, c := range columns {
		index[c.label], rename[c.label] = i, c.title
		names = append(names, c.label)
		p.overrides = append(p.overrides, c.override())
	}
	if len(queries) > 1 {
		p.transform = append(p.transform, object{"id": "merge", "options": object{}})
	}
	p.transform = append(p.transform,
		object{"id": "filterFieldsByName", "options": object{"include": object{"names": names}}},
		object{"id": "organize", "options": object{"excludeByName": object{}, "includeByName": object{}, "indexByName": index, "renameByName": rename}},
	)
	return p
}

// sorted sorts a list by a column, the largest first unless up.
func (p panel) sorted(title string, up bool) panel {
	p.options["sortBy"] = []any{object{"displayName": title, "desc": !up}}
	return p
}

func (c column) override() any {
	var properties []any
	set := func(id string, v any) { properties = append(properties, object{"id": id, "value": v}) }
	if c.width > 0 {
		set("custom.width", c.width)
	}
	if c.paint {
		set("custom.cellOptions", object{"type": "color-background", "mode": "basic"})
	}
	if c.link != "" {
		set("links", []any{object{"title": "Open", "url": c.link}})
	}
	if c.unit != "" {
		set("unit", c.unit)
	}
	if c.words != nil {
		set("mappings", c.words)
	}
	if c.steps != nil {
		set("thresholds", c.steps.json("transparent"))
		set("color", object{"mode": "thresholds"})
	}
	if properties == nil {
		properties = []any{}
	}
	return object{"matcher": object{"id": "byName", "options": c.title}, "properties": properties}
}

// matrix is a table of the newest values, with one label down and another
// across, each cell in its colour.
func matrix(title, description, unit, down, across string, q query) panel {
	corner := fmt.Sprintf(`%s\%s`, down, across)
	return panel{
		kind: "table", title: title, description: description, unit: unit, queries: []query{q}, w: 12, instant: true,
		options: object{"cellHeight": "sm", "showHeader": true, "frameIndex": 0, "sortBy": []any{object{"displayName": corner, "desc": false}}},
		custom:  object{"align": "center", "minWidth": 56, "cellOptions": object{"type": "color-background", "mode": "basic"}, "filterable": false, "inspect": false},
		transform: []any{object{"id": "groupingToMatrix", "options": object{
			"rowField": down, "columnField": across, "valueField": "Value", "emptyValue": "null",
		}}},
		overrides: []any{object{"matcher": object{"id": "byName", "options": corner}, "properties": []any{
			object{"id": "custom.cellOptions", "value": object{"type": "auto"}},
			object{"id": "custom.align", "value": "left"},
			object{"id": "custom.width", "value": 130},
			object{"id": "links", "value": []any{object{"title": "Open", "url": nodeLink}}},
		}}},
	}
}

// nodeLink opens the dashboard of the node in the cell.
const nodeLink = "/d/grapevine-node?var-datasource=${datasource}&var-cluster=${cluster}&var-node=${__value.text}&from=${__from}&to=${__to}"
