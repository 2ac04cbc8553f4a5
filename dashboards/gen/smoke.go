package main

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
				list("Steps of the last run", "In the order in which other troubles follow from them: admit, schedule, start, runtime, then talk. A step after the first bad one was not reached.", "",
					[]column{{label: "step", title: "Step"}, {label: "Value #A", title: "Went well", width: 110, paint: true, words: yesNo, steps: flag}, {label: "Value #B", title: "Half of the runs took less than", unit: "s"}},
					of(lowestOf("step", "grapevine_smoke_step_success"), ""), of(quantile(0.5, "step", "grapevine_smoke_step_duration_seconds", "step"), "")).wide(8).empty(off).runbook("GrapevineSmokeFailing"),
				{
					kind: "state-timeline", title: "Steps over time", description: "Which steps went well in each run, and since when one does not.", w: 16,
					queries: []query{of(lowestOf("step", "grapevine_smoke_step_success"), "{{step}}")}, mappings: yesNo, steps: flag, noValue: off,
					options: timeline("", "", query{}).options, custom: timeline("", "", query{}).custom, runbooks: []string{"GrapevineSmokeFailing"},
				},
			}},
			{title: "Runs", height: 7, panels: []panel{
				graph("Steps take, 90th percentile", "Time of steps that were reached, also when they failed.", "s", of(quantile(0.9, "step", "grapevine_smoke_step_duration_seconds", "step"), "{{step}}")).empty(off),
				graph("A run takes", "Clearing up included.", "s", of(now("grapevine_smoke_run_duration_seconds", ""), "{{node}}")).empty(off),
				graph("Runs", "By the status of their worst step, per second.", "cps", of(sum("status", rate("grapevine_smoke_runs_total", "status")), "{{status}}")).stacked().empty(off),
				graph("Runs not made", "Runs that were due and not made, by reason: degraded (what runs need is down), slow (the API server is), leftovers.", "cps",
					of(sum("reason", rate("grapevine_smoke_skipped_runs_total", "reason")), "{{reason}}")).empty(off),
				graph("Nodes", "By whether runs can use them.", "", of(most("cluster, state", series("grapevine_smoke_nodes")), "{{state}}")).stacked().empty(off),
				graph("Left behind, and swept", "Objects still there after a run, and those of earlier runs that a later one removed, per second.", "",
					of(sum("", now("grapevine_smoke_leftovers", "")), "left"), of(sum("", rate("grapevine_smoke_swept_total", "")), "swept per second")).empty(off),
			}},
		},
	}
}

// lowestOf is the smallest value over nodes: of what one node at a time exports.
func lowestOf(by, metric string) string { return aggregate("min", by, series(metric)) }
