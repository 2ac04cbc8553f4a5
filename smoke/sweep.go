package smoke

import (
	"context"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// left is an object of some run.
type left struct {
	on      resource
	name    string
	uid     types.UID
	run     string
	created time.Time
	going   *metav1.Time // since when it is being removed; nil: it is not
}

// String names the object as kubectl does.
func (l left) String() string { return l.on.name + "/" + l.name }

// kinds are what runs make, in the order in which it is removed.
func (s *Settings) kinds() []resource {
	all := []resource{pods, services}
	if s.Steps.Policy {
		all = append(all, policies)
	}
	if s.Steps.Volume {
		all = append(all, claims)
	}
	return append(all, jobs)
}

// inventory lists the objects of all runs.
func (r *run) inventory(ctx context.Context) ([]left, error) {
	var all []left
	for _, on := range r.s.kinds() {
		var page metav1.PartialObjectMetadataList
		if err := r.c.names(ctx, on, r.s.Namespace, runLabel, &page); err != nil {
			return nil, err
		}
		for _, o := range page.Items {
			all = append(all, left{on, o.Name, o.UID, o.Labels[runLabel], o.CreationTimestamp.Time, o.DeletionTimestamp})
		}
	}
	return all, nil
}

// overdue is the age from which on an object is of no run any more: such a run
// is over, or was killed.
func (s *Settings) overdue() time.Duration { return s.Deadline + 2*margin }

// sweep removes what earlier runs have left and the cluster has not removed
// since. All ages are by the API server's clock, which has just dated the
// anchor, so that no skew of ours ends a run under way.
func (r *run) sweep(ctx context.Context) {
	all, err := r.inventory(ctx)
	if err != nil {
		return // the end of the run tells
	}
	for _, l := range all {
		if l.run == r.id || r.started.Sub(l.created) < r.s.overdue() {
			continue
		}
		o := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &l.uid}, PropagationPolicy: pointer(metav1.DeletePropagationBackground)}
		if l.going != nil {
			if l.on != pods || r.started.Sub(l.going.Time) < r.s.overdue() {
				continue
			}
			// Its node will not say any more that it is gone. What ran there
			// has ended by itself since.
			o.GracePeriodSeconds = pointer[int64](0)
		}
		if r.c.delete(l.on, r.s.Namespace, l.name, o).Do(ctx).Error() == nil {
			r.report.Swept = append(r.report.Swept, l.String())
		}
	}
}

// metadataOnly asks for lists without what the objects hold.
const metadataOnly = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// names lists metadata alone.
func (c *Client) names(ctx context.Context, on resource, namespace, selector string, into *metav1.PartialObjectMetadataList) error {
	return c.request(http.MethodGet, on, namespace).VersionedParams(&metav1.ListOptions{LabelSelector: selector}, metav1.ParameterCodec).
		SetHeader("Accept", metadataOnly).Do(ctx).Into(into)
}
