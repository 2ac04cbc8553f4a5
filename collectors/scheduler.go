package collectors

// scheduler is the kube-scheduler. Labels: see electedMetrics.
var scheduler = &elected{
	check:   "scheduler",
	program: "kube-scheduler",
	port:    "10259",
	manifests: []string{
		"/etc/kubernetes/manifests/kube-scheduler.yaml",
		"/var/lib/rancher/rke2/agent/pod-manifests/kube-scheduler.yaml",
	},
	kubeconfig: []string{"/etc/kubernetes/scheduler.conf"},
	metrics:    newElectedMetrics("scheduler", "kube-scheduler"),
}

func schedulerSpec() Spec {
	return Spec{
		Name:     scheduler.check,
		Summary:  "health of the kube-scheduler, and whether one of its instances leads",
		Why:      "While no scheduler leads, new pods stay Pending and nothing that fails is placed elsewhere, though all that runs goes on running.",
		Remedy:   "Ask who leads: kubectl -n kube-system get lease kube-scheduler -o yaml; then look at the log of the instance on that machine, and end it when it hangs: another takes over. When the API server or etcd is bad as well, begin there: without them nobody can lead.",
		Subject:  `endpoint as host:port; "lease" for whether somebody leads`,
		Metrics:  scheduler.metrics.all(),
		Settings: func() Settings { return defaultElectedSettings(scheduler) },
	}
}
