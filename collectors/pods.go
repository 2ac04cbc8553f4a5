package collectors

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-kit/log"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the pods check exports, of system pods on this node: those of the
// configured namespaces, and those that bear the label.
var (
	podsWatch = Metric{
		Name: "grapevine_pods_watch_up", Type: health.Gauge,
		Help: "Whether the API server tells this node of changes to its pods.",
	}
	podsWatchAge = Metric{
		Name: "grapevine_pods_watch_age_seconds", Type: health.Gauge,
		Help: "Time since the API server was last heard of on this node's pods.",
	}
	podsCount = Metric{
		Name: "grapevine_pods_system", Type: health.Gauge, Labels: []string{"state"},
		Help: "System pods on this node: ready, waiting (not ready yet, within the time allowed), bad, or done.",
	}
	podsBad = Metric{
		Name: "grapevine_pods_bad", Type: health.Gauge, Labels: []string{"namespace", "pod", "reason"},
		Help: "A system pod of this node that is in trouble, and the first reason; always 1.",
	}
	podsRestarts = Metric{
		Name: "grapevine_pods_restarts", Type: health.Gauge, Labels: []string{"namespace", "pod"},
		Help: "Restarts of the containers of a system pod since it was made; only of pods that have any.",
	}
)

// podSummary is the subject of the verdict on all system pods together.
const podSummary = "system pods"

func podsSpec() Spec {
	return Spec{
		Name:     "pods",
		Summary:  "system pods of this node: crash loops, images that cannot be had, not ready for too long, restarts",
		Why:      "DNS, the network plugin and kube-proxy are pods themselves. When one of them crashes on a node, all others there suffer and look healthy.",
		Remedy:   "kubectl -n NAMESPACE describe pod POD, and logs --previous. A pod that crashes on one node only points to that node: its disk, its resolver, its network.",
		Subject:  "`system pods` for all of them; namespace/name of each that is bad",
		Metrics:  []Metric{podsWatch, podsWatchAge, podsCount, podsBad, podsRestarts},
		Workload: true,
		Settings: func() Settings { return defaultPodsSettings() },
	}
}

// podsCheck watches the pods of this node.
type podsCheck struct {
	settings podsSettings
	node     string
	api      *kubeAPI
	logger   log.Logger
	watch    *podWatch // nil until the first run
}

// New needs credentials for the API server; a kubelet's own are enough.
func (s *podsSettings) New(env Env) (Collector, error) {
	if s.NodeName == "" && !onKubernetes(env.Paths) {
		return nil, fmt.Errorf("a Kubernetes node is %w: none of %v exists, and no node_name is configured", ErrAbsent, kubeletTraces)
	}
	api, err := openKubeAPI(s.Kubeconfig, env)
	if err != nil {
		return nil, err
	}
	return &podsCheck{settings: *s, node: api.nodeName(s.NodeName, env), api: api, logger: log.With(env.Logger, "check", "pods")}, nil
}

// Name is the check's name.
func (c *podsCheck) Name() string { return "pods" }

// Collect judges what the watch has brought. The first run starts it.
func (c *podsCheck) Collect(ctx context.Context, r *Report) error {
	if c.watch == nil {
		watch, err := startPodWatch(c.api, c.node, c.settings.wanted, c.logger)
		if err != nil {
			return err
		}
		c.watch = watch
	}
	c.watch.first(ctx) // a moment for the first list
	pods, heard, err := c.watch.state()
	now := time.Now()
	r.Sample(&podsWatch, boolean(err == nil))
	if heard.IsZero() {
		r.Verdict(podSummary, health.Unknown, clip(fmt.Sprintf("the pods of node %s are not known: %v", c.node, err), maxReason), health.Evidence{})
		return nil
	}
	age := now.Sub(heard)
	r.Sample(&podsWatchAge, age.Seconds())
	c.judge(r, pods, now, age, err)
	return nil
}

// judge says which pods are bad. What is older than believable is unknown.
func (c *podsCheck) judge(r *Report, pods []podState, now time.Time, age time.Duration, err error) {
	a := &assessment{about: fmt.Sprintf("system pods on %s:", c.node)}
	stale := age > c.settings.Thresholds.Unheard
	count := map[string]float64{"ready": 0, "waiting": 0, "bad": 0, "done": 0}
	bad := 0
	for _, p := range pods {
		found := p.trouble(now, c.settings.Thresholds)
		state := p.progress()
		if len(found.findings) > 0 {
			state = "bad"
			if bad++; bad <= maxBadPods && !stale {
				first := found.findings[0]
				r.Sample(&podsBad, 1, p.Namespace, p.Name, found.reasons[0])
				found.verdict(r, p.Namespace+"/"+p.Name)
				a.add(first.status, "%s/%s %s", p.Namespace, p.Name, first.text)
			}
		}
		count[state]++
		if n := p.restarts(); n > 0 && len(pods) <= maxPods {
			r.Sample(&podsRestarts, float64(n), p.Namespace, p.Name)
		}
	}
	for state, n := range count {
		r.Sample(&podsCount, n, state)
	}
	switch {
	case stale:
		a.findings = nil
		a.add(health.Unknown, "nothing was heard of them for %s: %v", seconds(age.Round(time.Second).Seconds()), err)
	case bad > maxBadPods:
		a.add(health.Critical, "%d more are bad", bad-maxBadPods)
	}
	a.verdict(r, podSummary)
}

// Close ends the watch.
func (c *podsCheck) Close() error {
	if c.watch != nil {
		c.watch.close()
	}
	return c.api.Close()
}

// wanted tells whether a pod is a system pod.
func (s *podsSettings) wanted(namespace string, labels map[string]string) bool {
	if slices.Contains(s.Namespaces, namespace) {
		return true
	}
	_, labelled := labels[s.Label]
	return labelled
}
