package main

// overview answers in five seconds: is the cluster healthy, and if not, why.
func overview() dashboard {
	return dashboard{
		name: "overview", title: "Overview",
		description: "Is the cluster healthy, and if not, why: verdicts of all nodes, causes first.",
		rows: []row{
			{height: 4, panels: []panel{
				{
					kind: "stat", title: "Cluster", w: 6,
					description: "The worst verdict of all checks on all nodes; at least a warning while a node is silent or the mesh is split.",
					queries:     []query{of(clusterVerdict(), "")},
					mappings:    statusWords, noValue: noData,
					steps:    statusSteps,
					options:  stat("", "", "").options,
					runbooks: []string{"GrapevineAbsent"},
				},
				stat("Critical", "Verdicts that are critical: somebody must act now.", "", of(verdicts(2, ""), "")).colored(fromOne(bad)).empty(noData).wide(3),
				stat("Warning", "Verdicts that are a warning: look at them in working hours.", "", of(verdicts(1, ""), "")).colored(fromOne(warn)).empty(noData).wide(3),
				stat("Unknown", "Subjects of which nothing is known: they could not be asked, or their node is in maintenance. Unknown is never healthy.", "",
					of(verdicts(3, ""), "")).colored(fromOne(dim)).empty(noData).wide(3),
				stat("Nodes reporting", "Nodes whose data arrive.", "", of(nodesReporting(), "")).empty(noData).plain().wide(3),
				stat("Nodes silent", "Nodes that should be there and whose data do not arrive: dead, cut off, or without an agent. Those that said goodbye are not counted.", "",
					of(nodesKnown()+" - "+nodesReporting(), "")).colored(fromOne(bad)).empty(noData).wide(3).runbook("GrapevineNodeSilent", "GrapevineNodeDown"),
				stat("Mesh", "Nodes on the other side of a split of the mesh. While it lasts, what they tell does not arrive: scrape a node of each side.", "",
					of(split(), "")).colored(fromOne(bad)).words(value(word{0, "whole", good})).empty(noData).wide(3).runbook("GrapevineMeshSplit"),
			}},
			{height: 10, panels: []panel{
				list("What is wrong, where to begin first",
					"Every verdict that is not OK: critical first, and among them what other troubles follow from (disk before etcd before API server). "+
						"The reason in words: grapevine status on any node. Empty: all is well.", "",
					[]column{
						{label: "Value", title: "Verdict", width: 90, paint: true, words: []any{span(40, 40, "No data", dim), span(30, 39, "Critical", bad), span(20, 29, "Warning", warn), span(10, 19, "Unknown", dim)},
							steps: steps{{0, dim}, {20, warn}, {30, bad}, {40, dim}}},
						{label: "cluster", title: "Cluster", width: 110},
						{label: "node", title: "Node", link: nodeLink},
						{label: "check", title: "Check", width: 150, link: checks + "#${__value.text}"},
						{label: "subject", title: "Subject"},
					}, of(troubles(), "")).sorted("Verdict", false).wide(13).empty("Nothing is wrong."),
				timeline("Since when", "The worst verdict of each check, over all nodes. What turned first is where to begin.", of(worst("check"), "{{check}}")).wide(11),
			}},
			{height: 8, title: "Where", panels: []panel{
				matrix("Nodes and checks", "The worst verdict of each check on each node, for the hundred nodes with most troubles. A row of one colour is a bad node, a column a bad component.", "",
					"node", "check", of("("+worst("cluster, node, check")+") and on (cluster, node) topk(100, "+sum("cluster, node", now(statusMetric, "check, subject")+" % 3")+")", "")).
					words(statusWords).colored(statusSteps).wide(24),
			}},
			{height: 8, title: "How many, how fresh, how whole", panels: []panel{
				list("Subjects of each check", "How many subjects of each check have which verdict, over all nodes.", "",
					[]column{
						{label: "check", title: "Check", link: checks + "#${__value.text}"},
						{label: "Value #A", title: "OK", width: 60},
						{label: "Value #B", title: "Critical", width: 75, paint: true, steps: steps{{0, "transparent"}, {1, bad}}},
						{label: "Value #C", title: "Warning", width: 78, paint: true, steps: steps{{0, "transparent"}, {1, warn}}},
						{label: "Value #D", title: "Unknown", width: 80, paint: true, steps: steps{{0, "transparent"}, {1, dim}}},
					},
					of(verdicts(0, "check"), ""), of(verdicts(2, "check"), ""), of(verdicts(1, "check"), ""), of(verdicts(3, "check"), "")).sorted("Critical", false).wide(8),
				graph("Age of the newest data", "Of the nodes whose data are oldest, as the node says that answers the scrape. Where every node is scraped for itself: since it was last scraped.", "s",
					of("topk(5, "+dataAge()+")", "{{node}}")).limits(over(30, 120)).runbook("GrapevineNodeDataLate").wide(6),
				graph("Nodes", "Nodes whose data arrive, those that should be there, and those in maintenance (cordoned, shutting down, just started), whose bad verdicts are shown as unknown.", "",
					of(nodesReporting(), "reporting"), of(nodesKnown(), "known"),
					of(count(most("cluster, node", series("grapevine_node_maintenance"))+" == 1")+" or 0 * "+nodesReporting(), "in maintenance")).wide(5),
				graph("Reached by the nodes", "Share of the nodes that each node reaches, of those it knows: the worst. Below 100 % there is a split, or nodes are down.", "percentunit",
					of("bottomk(5, "+lowest("grapevine_mesh_reachable_ratio", "")+")", "{{node}}")).share().runbook("GrapevineMeshSplit").wide(5),
			}},
		},
	}
}

// clusterVerdict is the worst of all verdicts. The dead and those behind a
// split give none, so their absence counts as a warning.
func clusterVerdict() string {
	s := series(statusMetric)
	return either("max("+s+" == 2)",
		"("+nodesKnown()+" - "+nodesReporting()+" > 0) * 0 + 1",
		"("+split()+" > 0) * 0 + 1",
		"max("+s+" == 1)", "max("+s+" == 3)", "max("+s+")")
}

// split is how many nodes are on the other side, as the side sees it that has
// lost most.
func split() string {
	return sum("", most("cluster", series("grapevine_mesh_partition_members_other_side")))
}

// dataAge is how old the newest data of a node are.
func dataAge() string {
	const by = "cluster, node"
	return "(" + either(aggregate("min", by, series("grapevine_node_snapshot_age_seconds")),
		"time() - "+most(by, "timestamp("+series("grapevine_node_info")+")")) + ")"
}
