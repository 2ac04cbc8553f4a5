package smoke

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"

	"github.com/grapevine-mesh/grapevine/health"
)

// firstAnswer is how long the API server, or a container runtime, may take for
// the first one: whoever has nobody to ask wants to know at once.
const firstAnswer = 4 * time.Second

// admitServers chooses the nodes, and makes all that can be made before the
// addresses of the servers are known.
func (r *run) admitServers(ctx context.Context) verdict {
	if v := r.chooseNodes(ctx); !v.passed() {
		return v
	}
	if v := r.prepareNamespace(ctx); !v.passed() {
		return v
	}
	var anchor batchv1.Job
	if v := r.make(ctx, jobs, r.anchorObject(), &anchor); !v.passed() {
		return v
	}
	r.anchor = metav1.OwnerReference{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job", Name: anchor.Name, UID: anchor.UID}
	r.started = anchor.CreationTimestamp.Time
	r.sweep(ctx)
	if v := r.make(ctx, services, r.serviceObject(), &r.service); !v.passed() {
		return v
	}
	lives := Task{Seconds: (r.s.Deadline + margin).Seconds()}
	for i, node := range r.report.Nodes {
		if v := r.make(ctx, pods, r.podObject(numbered(roleServer, i), roleServer, node, lives), nil); !v.passed() {
			return v
		}
	}
	return verdict{}
}

// numbered is the name of the pod of a role on the node of that number.
func numbered(role string, i int) string { return fmt.Sprintf("%s-%d", role, i) }

// podNames are those of the pods of a role on all nodes.
func (r *run) podNames(role string) []string {
	names := make([]string, len(r.report.Nodes))
	for i := range names {
		names[i] = r.name(numbered(role, i))
	}
	return names
}

// admitClients makes one on each node, which asks the server on the other.
func (r *run) admitClients(ctx context.Context) verdict {
	known, _, _ := r.follower.state()
	peers := make([]Peer, len(r.report.Nodes))
	for i, name := range r.podNames(roleServer) {
		peers[i] = Peer{Node: r.report.Nodes[i], Addrs: addresses(known[name])}
	}
	steps := []string{StepTCP, StepUDP, StepService}
	if r.s.Steps.DNS {
		steps = append(steps, StepDNS)
	}
	if r.s.Steps.API {
		steps = append(steps, StepAPI)
	}
	service, _ := netip.ParseAddr(r.service.Spec.ClusterIP)
	for i, node := range r.report.Nodes {
		task := Task{
			Steps: steps, Seconds: r.talk.Seconds(), Peer: peers[len(peers)-1-i], Beside: peers[i],
			Service: netip.AddrPortFrom(service, echoPort), Name: r.service.Name + "." + r.s.Namespace + ".svc",
		}
		if v := r.make(ctx, pods, r.podObject(numbered(roleClient, i), roleClient, node, task), nil); !v.passed() {
			return v
		}
	}
	return verdict{}
}

func addresses(pod *corev1.Pod) (all []netip.Addr) {
	if pod == nil {
		return nil
	}
	for _, ip := range pod.Status.PodIPs {
		if addr, err := netip.ParseAddr(ip.IP); err == nil {
			all = append(all, addr)
		}
	}
	return all
}

// chooseNodes makes the first request, which shows whether there is a cluster
// to ask.
func (r *run) chooseNodes(ctx context.Context) verdict {
	first, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	all, err := r.c.members(first)
	if err != nil {
		if !answered(err) {
			r.report.Notes = append(r.report.Notes, WithoutCluster)
			return verdictf(health.Unknown, "the API server %s does not answer: %s", r.report.Server, why(err))
		}
		return r.refusal(ctx, "list nodes", err)
	}
	if len(r.o.Nodes) > 0 {
		for _, name := range r.o.Nodes {
			if !slices.ContainsFunc(all, func(m member) bool { return m.name == name }) {
				return verdictf(health.Unknown, "there is no node %s", name)
			}
		}
		all = slices.DeleteFunc(all, func(m member) bool { return !slices.Contains(r.o.Nodes, m.name) })
	}
	for _, m := range all {
		if m.skipped == "" {
			r.report.Usable++
		} else {
			r.report.Skipped = append(r.report.Skipped, Skipped{m.name, m.skipped})
		}
	}
	r.report.Nodes = append(r.report.Nodes, choose(all, r.o.Turn)...)
	switch len(r.report.Nodes) {
	case 0:
		if len(all) == 0 {
			return verdictf(health.Unknown, "the cluster has no nodes")
		}
		var reasons []string
		for _, s := range r.report.Skipped {
			reasons = append(reasons, s.Node+" is "+s.Reason)
		}
		return verdictf(health.Unknown, "no node can be used, of %d: %s", len(all), some(reasons))
	case 1:
		only := fmt.Sprintf("%s is the only node that can be used, of %d", r.report.Nodes[0], len(all))
		if len(r.o.Nodes) == 1 {
			only = r.report.Nodes[0] + " is the only node that was asked for"
		}
		r.report.Notes = append(r.report.Notes, only+": the way between nodes is not proven")
	}
	return verdict{}
}

// prepareNamespace makes the namespace and its quota unless they are there. A
// user who may not look is believed to have them.
func (r *run) prepareNamespace(ctx context.Context) verdict {
	var ns corev1.Namespace
	err := r.c.get(namespaces, "", r.s.Namespace).Do(ctx).Into(&ns)
	switch {
	case apierrors.IsNotFound(err):
		if v := r.make(ctx, namespaces, namespaceObject(r.s.Namespace), nil); !v.passed() {
			return v
		}
	case apierrors.IsForbidden(err):
		return verdict{}
	case err != nil:
		return r.refusal(ctx, "get namespace "+r.s.Namespace, err)
	case ns.DeletionTimestamp != nil:
		return terminating(&ns)
	}
	err = r.c.get(quotas, r.s.Namespace, quotaObject().Name).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		err = r.c.create(quotas, r.s.Namespace, quotaObject()).Do(ctx).Error()
	}
	if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsAlreadyExists(err) {
		return r.refusal(ctx, "create a ResourceQuota", err)
	}
	return verdict{}
}

// terminating says what keeps a namespace from going.
func terminating(ns *corev1.Namespace) verdict {
	var held []string
	for _, c := range ns.Status.Conditions {
		if c.Status == corev1.ConditionTrue {
			held = append(held, clip(c.Message, 200))
		}
	}
	reason := fmt.Sprintf("the namespace %s is being removed, since %s", ns.Name, ns.DeletionTimestamp.UTC().Format("2006-01-02 15:04:05 UTC"))
	if len(held) > 0 {
		reason += ": " + strings.Join(held, "; ")
	}
	return verdictf(health.Unknown, "%s", reason)
}

// make creates an object, and reads what has become of it unless into is nil.
// In a namespace that was just made it waits until the cluster has furnished
// that, and where others make something, too, until the quota has counted that.
func (r *run) make(ctx context.Context, on resource, object, into k8sruntime.Object) verdict {
	r.touched = true
	namespace := r.s.Namespace
	if on == namespaces {
		namespace = ""
	}
	for {
		result := r.c.create(on, namespace, object).Do(ctx)
		err := result.Error()
		if err == nil && into != nil {
			err = result.Into(into)
		}
		if err == nil || on == namespaces && apierrors.IsAlreadyExists(err) {
			return verdict{}
		}
		// Two who count against one quota at once are told to try again.
		if unfurnished(err) || apierrors.IsConflict(err) {
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-ctx.Done():
			}
		}
		return r.refusal(ctx, "create "+on.name, err)
	}
}

// unfurnished tells whether what the controller manager adds to a new
// namespace is not there yet: the account default, and the count of a quota.
func unfurnished(err error) bool {
	if !apierrors.IsForbidden(err) {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "status unknown for quota") || strings.Contains(text, "error looking up service account")
}

// refusal words why the API server has not done what it was asked for.
func (r *run) refusal(ctx context.Context, what string, err error) verdict {
	api := "the API server " + r.report.Server
	if !answered(err) {
		return verdictf(health.Critical, "%s does not answer a request to %s: %s; it may wait for an admission webhook or for etcd", api, what, why(err))
	}
	code := 0
	if status, ok := err.(apierrors.APIStatus); ok {
		code = int(status.Status().Code)
	}
	text := why(err)
	switch {
	case code == http.StatusUnauthorized:
		return verdictf(health.Unknown, "%s does not accept the credentials (401)", api)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return verdictf(health.Unknown, "the namespace %s is being removed", r.s.Namespace)
	case code == http.StatusForbidden && strings.Contains(text, "exceeded quota"):
		return verdictf(health.Unknown, "a quota of the namespace %s is used up: %s", r.s.Namespace, text)
	case unfurnished(err):
		return verdictf(health.Critical, "the controller manager does not furnish the namespace %s: %s", r.s.Namespace, text)
	case code == http.StatusForbidden:
		if missing := r.missingRights(ctx); missing != "" {
			return verdictf(health.Unknown, "%s does not allow this user to %s", api, missing)
		}
		return verdictf(health.Critical, "%s refuses to %s: %s", api, what, text)
	case code == http.StatusTooManyRequests:
		return verdictf(health.Unknown, "%s is too busy to %s (429)", api, what)
	}
	return verdictf(health.Critical, "%s cannot %s: %s", api, what, text)
}
