package main

// mesh shows how well agents hear each other, and what that costs.
func mesh() dashboard {
	return dashboard{
		name: "mesh", title: "Mesh health and cost", nodes: true,
		description: "How well agents hear each other, whether anything is cut, and what agents, gossip and scrapes cost.",
		rows: []row{
			{height: 4, panels: []panel{
				stat("Nodes reporting", "Nodes whose data arrive.", "", of(nodesReporting(), "")).empty(noData).plain(),
				stat("Nodes silent", "Nodes that should be there and whose data do not arrive.", "", of(nodesKnown()+" - "+nodesReporting(), "")).colored(fromOne(bad)).empty(noData).runbook("GrapevineNodeSilent"),
				stat("Different pictures", "How many different sets of nodes are reached by those who tell: 1 when all reach the same ones.", "",
					of(count(`count_values by (cluster) ("view", `+now("grapevine_mesh_partition_view_hash", "")+")"), "")).colored(over(2, 3)).empty(noData).runbook("GrapevineMeshSplit"),
				stat("Oldest data", "Of all nodes, the dead among them until they are forgotten.", "s", of(most("", dataAge()), "")).colored(over(30, 120)).empty(noData),
				stat("Scrape is whole", "Whether the node that answers holds the series of all nodes that are up.", "", of("min("+series("grapevine_mesh_scrape_complete")+")", "")).words(yesNo).colored(flag).empty("only in /metrics").runbook("GrapevineScrapeIncomplete"),
				stat("Scraped for all", "Nodes that have answered a cluster-wide scrape in the last five minutes. One is enough, two are normal for a pair of Prometheus servers; more store everything as many times.", "",
					of(most("", sum("cluster", now("grapevine_web_cluster_scraped", ""))), "")).colored(over(3, 10)).empty(noData).runbook("GrapevineScrapedOnManyNodes"),
			}},
			{title: "Who hears whom", height: 8, panels: []panel{
				graph("Members", "Members in the gossip by state, as the node sees it that counts most. What the gossip says of a member is a hint, no verdict.", "",
					of(most("cluster, state", series("grapevine_mesh_members")), "{{state}}")),
				graph("Reached", "Nodes that each node reaches, and how many it knows.", "",
					of(lowest("grapevine_mesh_partition_members_reached", ""), "{{node}}"), of(most("", series("grapevine_mesh_partition_members_known")), "known")).runbook("GrapevineMeshSplit"),
				graph("Age of the newest data", "As seen by the node that answers the scrape.", "s", of(dataAge(), "{{node}}")).limits(over(30, 120)),
				matrix("Ways between neighbours", "Whether the exchange with each neighbour on the ring works, there and back; row by row, as the node of the row finds.", "", "node", "peer",
					of(aggregate("min", "node, peer", series("grapevine_mesh_peer_up")), "")).words(yesNo).colored(flag).wide(16).runbook("GrapevineMeshWayCut"),
				graph("Nodes by role", "Where everybody holds all series, all are full. Above the budget of bytes there are aggregators and leaves.", "",
					of(sum("role", now("grapevine_mesh_role", "role")), "{{role}}")),
			}},
			{title: "What the mesh carries", height: 7, panels: []panel{
				graph("Bytes received", "Of the exchange, by each node.", "Bps", of(rate("grapevine_mesh_exchange_bytes_total", "direction", `direction="in"`), "{{node}}")),
				graph("Bytes sent", "Of the exchange, by each node.", "Bps", of(rate("grapevine_mesh_exchange_bytes_total", "direction", `direction="out"`), "{{node}}")),
				graph("Projected bytes", "What each node would receive if all held all series. Above --mesh.byte-budget there are aggregators and leaves.", "Bps",
					of(now("grapevine_mesh_projected_bytes_per_second", ""), "{{node}}")),
				graph("Frames", "Frames received, by their way and whether they were news. Much repair: the fast path loses them.", "cps",
					of(sum("path, outcome", rate("grapevine_mesh_frames_received_total", "path, outcome")), "{{path}} {{outcome}}")),
				graph("Exchanges", "Exchanges begun, by how they ended.", "cps", of(sum("outcome", rate("grapevine_mesh_exchanges_total", "outcome")), "{{outcome}}")),
				graph("Refused, shed, dropped", "Peers and frames refused, by reason; bytes shed because a peer was too slow are made up for by repair.", "cps",
					of(sum("reason", rate("grapevine_mesh_refused_total", "reason")), "refused: {{reason}}"), of(sum("", rate("grapevine_mesh_shed_bytes_total", "")), "bytes shed"),
					of(sum("reason", now("grapevine_exposition_dropped_families", "reason")), "families left out: {{reason}}")).runbook("GrapevineMeshRefusals", "GrapevineFamiliesDropped"),
				graph("Urgent news", "By gossip, told or heard, by what became of it.", "cps", of(sum("outcome", rate("grapevine_mesh_news_total", "outcome")), "{{outcome}}")),
				graph("Frame", "Size of each node's newest frame.", "bytes", of(now("grapevine_mesh_frame_bytes", ""), "{{node}}")),
				list("Certificates of the mesh", "When the certificate expires with which the node takes part, or the first authority above it.", "s",
					[]column{{label: "node", title: "Node"}, {label: "Value", title: "Expires in", paint: true, steps: expiry}},
					of(lowest("grapevine_mesh_certificate_expiry_timestamp_seconds", "")+" - time()", "")).sorted("Expires in", true).wide(8).empty("the mesh has no TLS").runbook("GrapevineMeshCertificateExpiring"),
			}},
			{title: "What agents cost", height: 7, panels: []panel{
				graph("CPU", "Of one core.", "percentunit", of(rate("process_cpu_seconds_total", ""), "{{node}}")),
				graph("Memory", "Resident memory of the agent.", "bytes", of(now("process_resident_memory_bytes", ""), "{{node}}")),
				graph("Checks started late by", "How much later than planned: the agent wants for CPU.", "s", of(most("cluster, node", series("grapevine_check_start_delay_seconds")), "{{node}}")).runbook("GrapevineAgentStarved"),
				graph("Answers over HTTP", "By path and code.", "reqps", of(sum("handler, code", rate("grapevine_web_requests_total", "handler, code")), "{{handler}} {{code}}")),
				graph("Answers take, 99th percentile", "From the request's header to the end of the answer.", "s",
					of(p99("handler", "grapevine_web_request_duration_seconds", "handler"), "{{handler}}")),
				graph("Scrapes not answered, or by way of another node", "Scrapes without a whole answer, and cluster-wide ones that another node had to be asked for.", "cps",
					of(sum("reason", rate("grapevine_web_unanswered_scrapes_total", "reason")), "unanswered: {{reason}}"),
					of(sum("outcome", rate("grapevine_web_relayed_scrapes_total", "outcome")), "{{outcome}}")).runbook("GrapevineScrapesUnanswered"),
				list("Agents", "Version, since when it runs, and whether its configuration file was accepted.", "",
					[]column{
						{label: "node", title: "Node", link: nodeLink}, {label: "version", title: "Version"}, {label: "revision", title: "Revision"},
						{label: "Value #B", title: "Started", unit: "dateTimeFromNow"}, {label: "Value #C", title: "Configuration", paint: true, words: value(word{0, "refused", bad}, word{1, "in force", good}), steps: flag},
					},
					of(now("grapevine_build_info", "version, revision"), ""), of(now("process_start_time_seconds", "")+" * 1000", ""), of(lowest("grapevine_config_last_reload_successful", ""), "")).wide(24).runbook("GrapevineConfigReloadFailed"),
			}},
		},
	}
}
