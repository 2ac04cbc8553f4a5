package main

// etcd shows its members, and the disks below them.
func etcd() dashboard {
	const e = "endpoint"
	return dashboard{
		name: "etcd", title: "etcd", nodes: true,
		description: "Members of etcd, what they wait for, and the disks below them. Lines of thresholds are those that etcd itself publishes.",
		rows: []row{
			{height: 4, panels: []panel{
				stat("Verdict", "The worst verdict on etcd.", "", of(worst("", `check="etcd"`), "")).verdict().empty(noData).runbook("GrapevineEtcdUnhealthy"),
				stat("Answering", "Endpoints that answer.", "", of(sum("", lowest("grapevine_etcd_up", e)), "")).plain().wide(3),
				stat("Not answering", "Endpoints that do not answer.", "", of(count(lowest("grapevine_etcd_up", e))+" - "+sum("", lowest("grapevine_etcd_up", e)), "")).colored(fromOne(bad)).wide(3).runbook("GrapevineEtcdUnhealthy"),
				stat("Voting members", "Members in the member list that have a vote. More than half of them must be there.", "", of(most("", now("grapevine_etcd_members", e)), "")).plain().wide(3),
				stat("Without a leader", "Members that know no leader: they take no writes.", "", of(sum("", lowest("grapevine_etcd_has_leader", e)+" == bool 0"), "")).colored(fromOne(bad)).wide(3).runbook("GrapevineEtcdNoLeader"),
				stat("Leader changes", "Leader changes within 15 minutes, by the member that saw most. Four are too many.", "", of(most("", now("grapevine_etcd_recent_leader_changes", e)), "")).colored(over(3, 4)).wide(4),
				stat("Alarms", "Alarms that are raised: NOSPACE or CORRUPT.", "", of(sum("", most("cluster, member, alarm", series("grapevine_etcd_alarm_active"))), "")).colored(fromOne(bad)).wide(4).runbook("GrapevineEtcdUnhealthy"),
			}},
			{height: 8, panels: []panel{
				list("Members", "Who answers, who leads, and what they run.", "",
					[]column{
						{label: "node", title: "Node", link: nodeLink}, {label: "endpoint", title: "Endpoint"}, {label: "member", title: "Member"}, {label: "version", title: "Version", width: 90},
						{label: "Value #A", title: "Answers", width: 90, paint: true, words: yesNo, steps: flag},
						{label: "Value #B", title: "Leader", width: 90, words: value(word{0, "", calm}, word{1, "leader", "blue"})},
					},
					of(lowest("grapevine_etcd_up", e), ""), of(now("grapevine_etcd_is_leader", e), ""), of(now("grapevine_etcd_member_info", "endpoint, member, version"), "")).wide(14).runbook("GrapevineEtcdUnhealthy"),
				matrix("Contact between members", "Whether each member has contact to each other one, as it says itself.", "", "endpoint", "peer",
					of(most("endpoint, peer", series("grapevine_etcd_peer_contact")), "")).words(yesNo).colored(flag).wide(10),
			}},
			{title: "What etcd waits for", height: 8, panels: []panel{
				graph("WAL fsync, 99th percentile", "Time of the member's own fsyncs of its log. etcd asks for 10 ms on good disks and warns from 0.5 s on. This is the disk.", "s",
					of(now("grapevine_etcd_wal_fsync_p99_seconds", e), "{{node}} {{endpoint}}")).limits(steps{{0, good}, {0.5, warn}, {1, bad}}).runbook("GrapevineEtcdUnhealthy"),
				graph("Disk below it, write and fsync", "The same disks as the node sees them: time to write 4 KiB and fsync it.", "s",
					of(now("grapevine_disk_fsync_last_duration_seconds", "mountpoint, device")+" and on (cluster, node) "+now("grapevine_etcd_up", e), "{{node}} {{mountpoint}}")).limits(over(0.1, 1)).runbook("GrapevineDiskUnhealthy"),
				graph("Backend commit, 99th percentile", "Time of the member's database commits. etcd warns from 0.25 s on.", "s",
					of(now("grapevine_etcd_backend_commit_p99_seconds", e), "{{node}} {{endpoint}}")).limits(steps{{0, good}, {0.25, warn}}),
				graph("Round trip to peers, 99th percentile", "Between members, as they measure it. etcd warns from 0.15 s on.", "s",
					of(now("grapevine_etcd_peer_round_trip_p99_seconds", "endpoint, peer"), "{{node}} to {{peer}}")).limits(steps{{0, good}, {0.15, warn}}),
				graph("Reads, last", "Time of the check's own read of one key. A linearizable read asks the leader and the majority, a serializable one this member alone.", "s",
					of(now("grapevine_etcd_read_last_duration_seconds", "endpoint, consistency"), "{{node}} {{consistency}}")).runbook("GrapevineEtcdUnhealthy"),
				graph("Reads, 99th percentile", "The same over time.", "s",
					of(p99("node, consistency", "grapevine_etcd_read_duration_seconds", "endpoint, consistency"), "{{node}} {{consistency}}")),
			}},
			{title: "Raft and database", height: 7, panels: []panel{
				graph("Leader changes", "Leader changes that the members have seen, per second.", "cps", of(rate("grapevine_etcd_leader_changes_seen_total", e), "{{node}} {{endpoint}}")),
				graph("Not yet applied", "Raft entries that are committed and not yet applied.", "", of(now("grapevine_etcd_raft_applied_lag_entries", e), "{{node}} {{endpoint}}")),
				graph("Database of its quota", "At 100 % etcd raises the alarm NOSPACE and refuses writes.", "percentunit",
					of(now("grapevine_etcd_database_size_bytes", e)+" / "+now("grapevine_etcd_database_quota_bytes", e), "{{node}} {{endpoint}}")).share().limits(over(0.8, 0.95)).runbook("GrapevineEtcdUnhealthy"),
				graph("Database", "Size of the file, and the part in use. Defragmentation frees the rest.", "bytes",
					of(now("grapevine_etcd_database_size_bytes", e), "{{node}} file"), of(now("grapevine_etcd_database_in_use_bytes", e), "{{node}} in use")),
				graph("Request, by part", "Name lookup, connection, TLS and the request itself: which part is slow.", "s",
					of(most("phase", now("grapevine_etcd_request_phase_seconds", "endpoint, phase")), "{{phase}}")),
				list("Certificates", "When the first certificate expires that the endpoint shows.", "s",
					[]column{{label: "node", title: "Node"}, {label: "endpoint", title: "Endpoint"}, {label: "Value", title: "Expires in", paint: true, steps: expiry}},
					of(lowest("grapevine_etcd_certificate_expiry_timestamp_seconds", e)+" - time()", "")).wide(8).empty("etcd is asked without TLS").runbook("GrapevineEtcdUnhealthy"),
			}},
		},
	}
}
