package smoke

import (
	"context"
	"net/http"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// latency is how long the API server takes to list one node: it asks etcd for
// that, or whether what it has is true still.
func (c *Client) latency(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	began := time.Now()
	var page metav1.PartialObjectMetadataList
	err := c.request(http.MethodGet, nodes, "").VersionedParams(&metav1.ListOptions{Limit: 1}, metav1.ParameterCodec).
		SetHeader("Accept", metadataOnly).Do(ctx).Into(&page)
	return time.Since(began), err
}

// lease is that of a node's kubelet.
func (c *Client) lease(ctx context.Context, node string) (*coordinationv1.Lease, error) {
	var lease coordinationv1.Lease
	return &lease, c.get(leases, corev1.NamespaceNodeLease, node).Do(ctx).Into(&lease)
}

// said is what events tell of an object.
type said struct {
	last    string // the newest complaint; empty: none
	reason  string // of that event
	pulling bool   // its image is being pulled
}

// said reads the events of an object. Those without complaint have no order:
// some are dated by the second.
func (c *Client) said(ctx context.Context, of metav1.Object) (said, error) {
	var list corev1.EventList
	err := c.list(events, of.GetNamespace(), metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(of.GetUID()), Limit: 100}).Do(ctx).Into(&list)
	var s said
	var newest time.Time
	pulled := false
	for i := range list.Items {
		e := &list.Items[i]
		s.pulling, pulled = s.pulling || e.Reason == "Pulling", pulled || e.Reason == "Pulled"
		if at := dated(e); e.Type == corev1.EventTypeWarning && !at.Before(newest) {
			newest, s.last, s.reason = at, clip(strings.TrimSpace(e.Message), 400), e.Reason
		}
	}
	s.pulling = s.pulling && !pulled
	return s, err
}

func dated(e *corev1.Event) time.Time {
	if !e.LastTimestamp.IsZero() {
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}
