package smoke

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// lease is that of a node's kubelet.
func (c *Client) lease(ctx context.Context, node string) (*coordinationv1.Lease, error) {
	var lease coordinationv1.Lease
	return &lease, c.get(leases, corev1.NamespaceNodeLease, node).Do(ctx).Into(&lease)
}

// lastEvent is the newest about a pod, and of those the newest warning if there
// is one; nil when there is none at all.
func (c *Client) lastEvent(ctx context.Context, p *corev1.Pod) (*corev1.Event, error) {
	var list corev1.EventList
	err := c.list(events, p.Namespace, metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(p.UID), Limit: 100}).Do(ctx).Into(&list)
	var last *corev1.Event
	for i := range list.Items {
		e := &list.Items[i]
		if last == nil || e.Type != last.Type && e.Type == corev1.EventTypeWarning || e.Type == last.Type && at(e).After(at(last)) {
			last = e
		}
	}
	return last, err
}

func at(e *corev1.Event) time.Time {
	if !e.LastTimestamp.IsZero() {
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}
