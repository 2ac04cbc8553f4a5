package main

import "fmt"

// smoke shows the runs of the smoke tests.
func smoke() dashboard {
	const off = "no runs: see enabled in the settings of smoke"
	return dashboard{
		name: "smoke", title: "Smoke tests",
		description: "Runs that schedule pods, let them talk and take them away again: which step failed, how long steps take, what was left.",
		rows: []row{
			{height: 4, panels: []panel{
				stat("Last run", "Whether every step of the last run went well.", "", of("min("+series("grapevine_smoke_success")+")", "")).words(value(word{0, "failed", bad}, word{1, "all went well", good})).colored(flag).empty("no runs").wide(5).runbook("GrapevineSmokeFailing"),
				stat("Verdict", "The worst verdict on any step, once it has lasted.", "", of(worst("", `check="smoke"`), "")).verdict().empty("no runs").wide(4).runbook("GrapevineSmokeFailing"),
				stat("Last run began", "Before now. Runs are made every five minutes.", "s", of("time() - max("+series("grapevine_smoke_last_run_timestamp_seconds")+")", "")).colored(over(900, 1800)).empty("no runs").wide(4).runbook("GrapevineSmokeNotRunning"),
				stat("Last good run", "Before now.", "s", of("time() - max("+series("grapevine_smoke_last_success_timestamp_seconds")+")", "")).colored(over(900, 1800)).empty("none yet").wide(4).runbook("GrapevineSmokeFailing"),
				stat("It took", "The last run, clearing up included.", "s", of(most("", now("grapevine_smoke_run_duration_seconds", "")), "")).colored(over(30, 60)).empty("no runs").wide(3),
				stat("Left behind", "Objects of this and of earlier runs that were still there after the last one.", "", of(sum("", now("grapevine_smoke_leftovers", "")), "")).colored(fromOne(warn)).empty("no runs").wide(4).runbook("GrapevineSmokeLeftovers"),
			}},
			{title: "Steps", height: 10, panels: []panel{
				list("Steps of the last run", "The step that failed is critical, and those that were not reached after it are unknown. They go one after the other: admit, schedule, start, runtime, then talk, and at last delete. Half of the runs of the last hour took less.", "",
					[]column{
						{label: "step", title: "Step"},
						{label: "Value #A", title: "Verdict", width: 90, paint: true, words: statusWords, steps: statusSteps},
						{label: "Value #B", title: "Went well", width: 90, paint: true, words: yesNo, steps: flag},
						{label: "Value #C", title: "Takes mostly", unit: "s", width: 110},
					},
					of(`label_replace(`+worst("subject", `check="smoke"`)+`, "step", "$1", "subject", "(.+)")`, ""), of(lowestOf("step", "grapevine_smoke_step_success"), ""), of(stepTakes(0.5), "")).sorted("Went well", true).wide(8).runbook("GrapevineSmokeFailing"),
				{
					kind: "state-timeline", title: "Steps over time", description: "Which steps went well in each run, and since when one does not.", w: 16,
					queries: []query{of(lowestOf("step", "grapevine_smoke_step_success"), "{{step}}")}, mappings: yesNo, steps: flag, noValue: off,
					options: timeline("", "", query{}).options, custom: timeline("", "", query{}).custom, runbooks: []string{"GrapevineSmokeFailing"},
				},
			}},
			{title: "Runs", height: 7, panels: []panel{
				graph("Steps take, 90th percentile", "Time of steps that were reached, also when they failed, of the runs of the last hour.", "s", of(stepTakes(0.9), "{{step}}")).empty(off),
				graph("A run takes", "Clearing up included.", "s", of(now("grapevine_smoke_run_duration_seconds", ""), "{{node}}")).empty(off),
				graph("Runs", "Runs of the last hour, by the status of their worst step.", "", of(sum("status", lastHour("increase", "grapevine_smoke_runs_total", "status")), "{{status}}")).stacked().byStatus().empty(off),
				graph("Runs not made", "Runs of the last hour that were due and not made, by reason: degraded (what runs need is down), slow (the API server is), leftovers.", "",
					of(sum("reason", lastHour("increase", "grapevine_smoke_skipped_runs_total", "reason")), "{{reason}}")).empty(off),
				graph("Nodes", "By whether runs can use them.", "", of(most("cluster, state", series("grapevine_smoke_nodes")), "{{state}}")).stacked().empty(off),
				graph("Left behind, and swept", "Objects still there after a run, and those of earlier runs that later ones removed in the last hour.", "",
					of(sum("", now("grapevine_smoke_leftovers", "")), "left"), of(sum("", lastHour("increase", "grapevine_smoke_swept_total", "")), "swept")).empty(off),
			}},
		},
	}
}

// lastHour is a function of a counter over the last hour: runs are rarer than
// what $__rate_interval spans.
func lastHour(function, metric, labels string) string {
	return "max by (" + join("cluster, node", labels) + ") (" + function + "(" + series(metric) + "[1h]))"
}

// stepTakes is a quantile of the time that each step took in the last hour.
func stepTakes(q float64) string {
	return fmt.Sprintf("histogram_quantile(%v, %s) > 0", q, sum("step, le", lastHour("rate", "grapevine_smoke_step_duration_seconds_bucket", "step, le")))
}

// lowestOf is the smallest value over nodes: of what one node at a time exports.
func lowestOf(by, metric string) string { return aggregate("min", by, series(metric)) }
