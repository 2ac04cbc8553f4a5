package main

import "fmt"

// network shows who reaches whom, node by node.
func network() dashboard {
	loss := steps{{0, good}, {0.01, fair}, {0.05, warn}, {0.5, bad}}
	trip := steps{{0, good}, {0.01, fair}, {0.05, warn}, {0.25, bad}}
	var rows []row
	rows = append(rows, row{height: 4, panels: []panel{
		networkStat("Nodes' own network", "host-network", "HostNetworkUnhealthy"), networkStat("Pod network", "overlay", "OverlayUnhealthy"), networkStat("Packet sizes", "mtu", "MTUUnhealthy"),
		networkStat("Services", "service", "ServiceUnhealthy"), networkStat("DNS", "dns", "DNSUnhealthy"), networkStat("Mesh", "mesh", "MeshSplit"),
	}})
	for _, n := range []struct{ title, what, prefix, check, alert string }{
		{"Nodes' own network", "the nodes' own network", "grapevine_host_network", "host-network", "HostNetwork"},
		{"Pod network (overlay)", "the pod network", "grapevine_overlay", "overlay", "Overlay"},
	} {
		rows = append(rows,
			row{title: n.title, height: 9, panels: []panel{
				matrix("Loss, from row to column", "Packets over "+n.what+" that no answer came back for, the worst of all protocols. Each node probes a few others. "+
					"A bad column is a node that nobody reaches, a bad row one that reaches nobody; one bad field is the way between two.", "percentunit", "node", "peer",
					of(most("node, peer", series(n.prefix+"_loss_ratio")), "")).colored(loss).runbook("Grapevine" + n.alert + "Unhealthy"),
				matrix("Round trip, from row to column", "Median of the last run over "+n.what+", by UDP.", "s", "node", "peer",
					of(most("node, peer", series(n.prefix+"_round_trip_seconds", `protocol="udp"`)), "")).colored(trip).runbook("Grapevine" + n.alert + "Unhealthy"),
			}},
			row{height: 8, panels: []panel{
				heat("Round trips", "How many answers over "+n.what+" took how long, of all nodes together.", "s",
					of(sum("le", rate(n.prefix+"_round_trip_duration_seconds_bucket", "protocol, le")), "{{le}}")).wide(8),
				graph("Peers", "Peers of all nodes, by what the last run found.", "", of(sum("state", now(n.prefix+"_peers", "state")), "{{state}}")).runbook("Grapevine" + n.alert + "Unhealthy"),
				graph("Does not arrive, and does not come back", "Of requests that were lost: those that the peer has not counted were lost on the way there, the rest on the way back.", "percentunit",
					of("topk(5, 1 - "+lowest(n.prefix+"_arrived_ratio", "peer, protocol")+" > 0)", "there: {{node}} to {{peer}} {{protocol}}"),
					of(fmt.Sprintf("topk(5, %s + %s - 1 > 0)", now(n.prefix+"_loss_ratio", "peer, protocol"), lowest(n.prefix+"_arrived_ratio", "peer, protocol")), "back: {{peer}} to {{node}} {{protocol}}")).share().empty("nothing is lost"),
			}})
	}
	rows = append(rows,
		row{title: "Packet sizes", height: 8, panels: []panel{
			matrix("Largest packet on the way", "The largest packet that passed from the row to the column and back, over the network where it is smallest, in bytes.", "", "node", "peer",
				of(aggregate("min", "node, peer", series("grapevine_mtu_path_bytes")), "")).colored(steps{{0, "transparent"}}).runbook("GrapevineMTUUnhealthy"),
			matrix("Large packets vanish", "Small packets pass and large ones do not: connections open and then hang. Mostly a tunnel whose MTU is set too large.", "", "node", "peer",
				of(most("node, peer", series("grapevine_mtu_black_hole")), "")).words(noYes).colored(fromOne(bad)).runbook("GrapevineMTUUnhealthy"),
		}},
		row{title: "Services and DNS", height: 7, panels: []panel{
			graph("Connecting to services", "Time of the last attempt to connect at the cluster address.", "s",
				of("topk(10, "+now("grapevine_service_connect_last_duration_seconds", "address")+")", "{{node}} {{address}}")).empty("no service is asked").runbook("GrapevineServiceUnhealthy"),
			graph("DNS queries, last", "Time of the last query, by server and question.", "s",
				of("topk(10, "+now("grapevine_dns_query_last_duration_seconds", "server, question, protocol")+")", "{{node}} {{server}} {{question}} {{protocol}}")).runbook("GrapevineDNSUnhealthy"),
			graph("DNS queries, 99th percentile", "Of answered queries, over all nodes.", "s",
				of(p99("question, protocol", "grapevine_dns_query_duration_seconds", "question, protocol"), "{{question}} {{protocol}}")),
		}},
		row{title: "Links and connection tracking", height: 7, panels: []panel{
			matrix("Links", "Whether each device is switched on and has a carrier.", "", "node", "device",
				of(aggregate("min", "node, device", series("grapevine_host_network_link_carrier")), "")).words(yesNo).colored(flag).wide(8).runbook("GrapevineLinkUnhealthy"),
			graph("Damaged and dropped packets", "By device and direction, those that have any.", "pps",
				of(rate("grapevine_host_network_link_errors_total", "device, direction")+" > 0", "{{node}} {{device}} {{direction}} damaged"),
				of(rate("grapevine_host_network_link_drops_total", "device, direction")+" > 0", "{{node}} {{device}} {{direction}} dropped")).empty("none"),
			graph("Connection tracking is full to", "At 100 % new connections fail.", "percentunit",
				of("topk(10, "+now("grapevine_host_network_conntrack_entries", "")+" / "+now("grapevine_host_network_conntrack_entries_limit", "")+")", "{{node}}")).share().limits(over(0.75, 0.9)).runbook("GrapevineHostNetworkUnhealthy"),
		}},
	)
	return dashboard{
		name: "network", title: "Network matrix", nodes: true,
		description: "Who reaches whom over the nodes' own network and the pod network, how fast, with which packet sizes; services, DNS, links.",
		rows:        rows,
	}
}

func networkStat(title, check, alert string) panel {
	return stat(title, "The worst verdict of the check "+check+" on these nodes.", "", of(worst("", `check="`+check+`"`), "")).
		words(statusWords).colored(statusSteps).empty("not probed").runbook("Grapevine" + alert)
}
