package collectors

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// maxConditions bounds the conditions of a node that are exported: other
// programs add their own.
const maxConditions = 24

// nodeLease is what is read of the node's Lease.
type nodeLease struct {
	Spec struct {
		RenewTime time.Time `json:"renewTime"`
	} `json:"spec"`
}

// nodeObject is what is read of the Node.
type nodeObject struct {
	Spec struct {
		Unschedulable bool `json:"unschedulable"`
		Taints        []struct {
			Key    string `json:"key"`
			Effect string `json:"effect"`
		} `json:"taints"`
	} `json:"spec"`
	Status struct {
		Conditions []nodeCondition `json:"conditions"`
	} `json:"status"`
}

type nodeCondition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
	LastHeartbeatTime  time.Time `json:"lastHeartbeatTime"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
}

// cannotAsk records that the API server did not tell, and why.
func (c *kubeletCheck) cannotAsk(a *assessment, what string, err error) {
	switch {
	case missing(err):
		a.add(health.Critical, "has no %s in the API: node %q is not registered", what, c.nodeName)
	case denied(err):
		a.add(health.Unknown, "may not be asked for: the API server %v", err)
	default:
		a.add(health.Unknown, "is not known: the API server %v", err)
	}
}

// lookLease judges how long ago the kubelet renewed the node's lease. It is
// the kubelet of this very node that writes it, so there is one clock only.
func (c *kubeletCheck) lookLease(ctx context.Context, r *Report) {
	a := &assessment{about: "lease of node " + c.nodeName}
	if c.api == nil {
		r.Sample(&kubeletAPISuccess, 0, "lease")
		r.Verdict("lease", health.Unknown, clip("the node's lease cannot be read: "+c.apiAbsent, maxReason), health.Evidence{})
		return
	}
	var lease nodeLease
	err := c.api.get(ctx, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"+c.nodeName, nil, &lease)
	r.Sample(&kubeletAPISuccess, boolean(err == nil), "lease")
	if err != nil {
		c.cannotAsk(a, "lease", err)
		a.verdict(r, "lease")
		return
	}
	age := max(0, time.Since(lease.Spec.RenewTime).Seconds())
	r.Sample(&kubeletLeaseAge, age)
	limits := c.settings.Thresholds.LeaseAge.seconds()
	_, limit := limits.judge(0)
	a.measured = health.Evidence{Value: age, Threshold: limit, Unit: "seconds"}
	a.hold(age, limits, "seconds", "was renewed %s ago; the kubelet does so every 10 s", seconds(age))
	a.verdict(r, "lease")
}

// lookNode judges what the API believes of this node. The object is large, so
// it is read at its own pace, and what is known is shown with its age.
func (c *kubeletCheck) lookNode(ctx context.Context, r *Report) {
	a := &assessment{about: "node " + c.nodeName}
	if c.api == nil {
		r.Sample(&kubeletAPISuccess, 0, "node")
		r.Verdict("node", health.Unknown, clip("the node object cannot be read: "+c.apiAbsent, maxReason), health.Evidence{})
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.read.IsZero() || time.Since(c.read) > c.settings.NodeInterval-c.settings.Interval/2 {
		var node nodeObject
		if err = c.api.get(ctx, "/api/v1/nodes/"+c.nodeName, nil, &node); err == nil {
			c.node, c.read = node, time.Now()
		}
	}
	r.Sample(&kubeletAPISuccess, boolean(err == nil), "node")
	if !c.read.IsZero() {
		// Also when the API is away: a node that was cordoned still is.
		c.exportNode(r)
	}
	if err != nil {
		c.cannotAsk(a, "object", err)
	} else {
		c.judgeNode(a)
	}
	a.verdict(r, "node")
}

// exportNode writes what was last read, and needs c.mu.
func (c *kubeletCheck) exportNode(r *Report) {
	r.Sample(&kubeletNodeAge, time.Since(c.read).Seconds())
	r.Sample(&kubeletUnschedulable, boolean(c.node.Spec.Unschedulable))
	if c.node.Spec.Unschedulable {
		r.Maintenance(Cordoned)
	}
	for _, effect := range []string{"NoSchedule", "PreferNoSchedule", "NoExecute"} {
		n := 0
		for _, taint := range c.node.Spec.Taints {
			if taint.Effect == effect {
				n++
			}
		}
		r.Sample(&kubeletTaints, float64(n), effect)
	}
	var had []string
	for _, condition := range c.node.Status.Conditions {
		if slices.Contains(had, condition.Type) || len(had) == maxConditions {
			continue
		}
		had = append(had, condition.Type)
		value, known := map[string]float64{"True": 1, "False": 0}[condition.Status]
		if !known {
			value = -1
		}
		r.Sample(&kubeletCondition, value, clip(condition.Type, 60))
		if condition.Type != "Ready" {
			continue
		}
		r.Sample(&kubeletHeartbeatAge, max(0, time.Since(condition.LastHeartbeatTime).Seconds()))
		if condition.shuttingDown() {
			r.Maintenance(ShuttingDown)
		}
	}
}

// shuttingDown tells whether the kubelet is ending its pods because the
// machine is about to go down.
func (n nodeCondition) shuttingDown() bool {
	return n.Status == "False" && strings.Contains(n.Message, "node is shutting down")
}

// judgeNode holds the conditions against what they should be, and needs c.mu.
func (c *kubeletCheck) judgeNode(a *assessment) {
	ready := false
	for _, condition := range c.node.Status.Conditions {
		switch condition.Type {
		case "Ready":
			ready = true
			switch condition.Status {
			case "True":
			case "False":
				a.add(health.Critical, "is not ready since %s: %s", day(condition.LastTransitionTime), condition.words())
			default:
				a.add(health.Critical, "is unknown to the API since %s, which does not hear from the kubelet: %s", day(condition.LastTransitionTime), condition.words())
			}
		case "NetworkUnavailable":
			if condition.Status == "True" {
				a.add(health.Critical, "has no pod network since %s: %s", day(condition.LastTransitionTime), condition.words())
			}
		case "MemoryPressure", "DiskPressure", "PIDPressure":
			if condition.Status == "True" {
				a.add(health.Warning, "has %s since %s and evicts pods: %s", condition.Type, day(condition.LastTransitionTime), condition.words())
			}
		}
	}
	if !ready {
		a.add(health.Warning, "has no condition Ready yet")
	}
}

// words are the reason that came with the condition.
func (n nodeCondition) words() string { return clip(n.Reason+": "+n.Message, 160) }
