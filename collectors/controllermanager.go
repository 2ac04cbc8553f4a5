package collectors

// controllerManager is the kube-controller-manager. Labels: see
// electedMetrics.
var controllerManager = &elected{
	check:   "controller-manager",
	program: "kube-controller-manager",
	port:    "10257",
	manifests: []string{
		"/etc/kubernetes/manifests/kube-controller-manager.yaml",
		"/var/lib/rancher/rke2/agent/pod-manifests/kube-controller-manager.yaml",
	},
	kubeconfig: []string{"/etc/kubernetes/controller-manager.conf"},
	metrics:    newElectedMetrics("controller_manager", "kube-controller-manager"),
}

func controllerManagerSpec() Spec {
	return Spec{
		Name:     controllerManager.check,
		Summary:  "health of the kube-controller-manager, and whether one of its instances leads",
		Why:      "While no controller manager leads, dead nodes keep their pods, endpoints of services go stale and deployments do not move, though all that runs goes on running.",
		Remedy:   "Ask who leads: kubectl -n kube-system get lease kube-controller-manager -o yaml; then look at the log of the instance on that machine, and end it when it hangs: another takes over. When the API server or etcd is bad as well, begin there: without them nobody can lead.",
		Subject:  `endpoint as host:port; "lease" for whether somebody leads`,
		Metrics:  controllerManager.metrics.all(),
		Settings: func() Settings { return defaultElectedSettings(controllerManager) },
	}
}
