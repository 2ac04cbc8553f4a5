package main

// controlPlane shows the API servers, who leads, and what hangs on them.
func controlPlane() dashboard {
	const e = "endpoint"
	rows := []row{
		{height: 4, panels: []panel{
			stat("API server", "The worst verdict on any API server or its Service.", "", of(worst("", `check="apiserver"`), "")).verdict().empty("not asked").runbook("GrapevineAPIServerUnhealthy"),
			stat("Scheduler", "The worst verdict on the kube-scheduler and its lease.", "", of(worst("", `check="scheduler"`), "")).verdict().empty("not asked").runbook("GrapevineSchedulerUnhealthy"),
			stat("Controller manager", "The worst verdict on the kube-controller-manager and its lease.", "", of(worst("", `check="controller-manager"`), "")).verdict().empty("not asked").runbook("GrapevineControllerManagerUnhealthy"),
			stat("etcd", "The worst verdict on etcd, which the API server waits for.", "", of(worst("", `check="etcd"`), "")).verdict().empty("not asked").runbook("GrapevineEtcdUnhealthy"),
			stat("Kubelets", "The worst verdict on any kubelet.", "", of(worst("", `check="kubelet"`), "")).verdict().empty("not asked").runbook("GrapevineKubeletUnhealthy"),
			stat("DNS", "The worst verdict on the cluster's DNS and the nodes' resolvers.", "", of(worst("", `check="dns"`), "")).verdict().empty("not asked").runbook("GrapevineDNSUnhealthy"),
		}},
		{title: "API server", height: 8, panels: []panel{
			matrix("Who reaches which API server", "The row is the node that asks, the column the API server. A bad column is the API server, a bad row the node.", "", "node", e,
				of(aggregate("min", "node, endpoint", series("grapevine_apiserver_up")), "")).words(yesNo).colored(flag).wide(16).runbook("GrapevineAPIServerUnhealthy"),
			list("Its own checks that failed", "By name, as /readyz?verbose has them. Begin at etcd where it stands here.", "",
				[]column{{label: "node", title: "Seen from"}, {label: "endpoint", title: "Endpoint"}, {label: "path", title: "Path", width: 90}, {label: "name", title: "Check"}},
				of(now("grapevine_apiserver_check_failed", "endpoint, path, name"), "")).wide(8).empty("none").runbook("GrapevineAPIServerUnhealthy"),
			graph("Requests, last", "Time of the last request of each kind, by the node that is slowest.", "s",
				of(most("endpoint, operation", now("grapevine_apiserver_request_last_duration_seconds", "endpoint, operation")), "{{endpoint}} {{operation}}")).limits(over(1, 3)).empty("no API server is asked").runbook("GrapevineAPIServerUnhealthy"),
			graph("Requests, 99th percentile", "Of answered requests, over all nodes that ask.", "s",
				of(p99("endpoint, operation", "grapevine_apiserver_request_duration_seconds", "endpoint, operation"), "{{endpoint}} {{operation}}")).empty("no API server is asked"),
			graph("Request, by part", "Name lookup, connection, TLS and the request itself: which part is slow.", "s",
				of(most("endpoint, phase", now("grapevine_apiserver_request_phase_seconds", "endpoint, phase")), "{{endpoint}} {{phase}}")).empty("no API server is asked"),
		}},
	}
	for _, c := range []struct{ title, name, alert string }{
		{"Scheduler", "scheduler", "Scheduler"}, {"Controller manager", "controller_manager", "ControllerManager"},
	} {
		m := "grapevine_" + c.name
		rows = append(rows, row{title: c.title, height: 7, panels: []panel{
			list("Instances", "Whether each instance answers.", "",
				[]column{{label: "node", title: "Node", link: nodeLink}, {label: "endpoint", title: "Endpoint"}, {label: "Value", title: "Answers", paint: true, words: yesNo, steps: flag}},
				of(lowest(m+"_up", e), "")).wide(6).empty("none is asked").runbook("Grapevine" + c.alert + "Unhealthy"),
			list("Who leads", "The machine that holds the lease, as each node reads it.", "",
				[]column{{label: "node", title: "Seen from"}, {label: "holder", title: "Holder"}},
				of(now(m+"_lease_holder_info", "holder"), "")).wide(6).empty("nobody, or it cannot be read").runbook("Grapevine" + c.alert + "Unhealthy"),
			graph("Age of the lease", "Since it was last renewed, every 2 s by default. Past its duration another instance takes over.", "s",
				of(most("", now(m+"_lease_age_seconds", "")), "age"), of(most("", now(m+"_lease_duration_seconds", "")), "good for")).wide(6).empty("none is read").runbook("Grapevine" + c.alert + "Unhealthy"),
			graph("Health requests take", "Time of the last request.", "s",
				of(now(m+"_request_last_duration_seconds", "endpoint, path"), "{{node}} {{path}}")).wide(6).empty("none is asked"),
		}})
	}
	rows = append(rows,
		row{title: "What hangs on it", height: 7, panels: []panel{
			graph("Kubelets' leases", "Since each kubelet last renewed its node's lease: the oldest. After 40 s a node counts as not ready.", "s",
				of("topk(5, "+now("grapevine_kubelet_lease_age_seconds", "")+")", "{{node}}")).limits(over(20, 40)).empty("no kubelet is asked").runbook("GrapevineKubeletUnhealthy"),
			graph("System pods", "On all nodes, by state.", "", of(sum("state", now("grapevine_pods_system", "state")), "{{state}}")).empty("pods are not watched").runbook("GrapevinePodsUnhealthy"),
			graph("Not heard of pods for", "Since the API server last told a node of its pods: the longest.", "s", of("topk(5, "+now("grapevine_pods_watch_age_seconds", "")+")", "{{node}}")).empty("pods are not watched"),
			matrix("Services", "Whether each node reaches the service at its cluster address.", "", "node", "address",
				of(aggregate("min", "node, address", series("grapevine_service_up")), "")).words(yesNo).colored(flag).wide(8).runbook("GrapevineServiceUnhealthy"),
			graph("kube-proxy's rules are old", "Since kube-proxy last brought its rules up to date, by its own word.", "s", of("topk(5, "+now("grapevine_service_proxy_update_age_seconds", "")+")", "{{node}}")).empty("no kube-proxy is asked"),
			matrix("DNS", "Whether each server answers each node, in any way.", "", "node", "server",
				of(aggregate("min", "node, server", series("grapevine_dns_up")), "")).words(yesNo).colored(flag).wide(8).runbook("GrapevineDNSUnhealthy"),
		}},
		row{title: "Certificates", height: 7, panels: []panel{
			list("Certificates that the control plane shows", "When the first of them expires, by endpoint.", "s",
				[]column{{label: "endpoint", title: "Endpoint"}, {label: "Value", title: "Expires in", paint: true, steps: expiry}},
				of(either(
					timeLeft("grapevine_apiserver_certificate_expiry_timestamp_seconds"),
					timeLeft("grapevine_etcd_certificate_expiry_timestamp_seconds"),
					timeLeft("grapevine_scheduler_certificate_expiry_timestamp_seconds"),
					timeLeft("grapevine_controller_manager_certificate_expiry_timestamp_seconds")), "")).sorted("Expires in", true).empty("none was shown").runbook("GrapevineCertificateUnhealthy"),
			list("Files that expire first", "The ten files on these nodes whose certificates expire first.", "s",
				[]column{{label: "node", title: "Node", link: nodeLink}, {label: "path", title: "File"}, {label: "Value", title: "Expires in", paint: true, steps: expiry}},
				of("bottomk(10, "+lowest("grapevine_certificates_expiry_timestamp_seconds", "path")+" - time())", "")).sorted("Expires in", true).empty("no certificates found").runbook("GrapevineCertificateUnhealthy"),
		}},
	)
	return dashboard{
		name: "control-plane", title: "Control plane", nodes: true,
		description: "API servers, who leads among schedulers and controller managers, and what hangs on them: kubelets, services, DNS, certificates.",
		rows:        rows,
	}
}

// timeLeft is that until the first certificate of each endpoint expires.
func timeLeft(metric string) string {
	return "(" + aggregate("min", "endpoint", series(metric)) + " - time())"
}
