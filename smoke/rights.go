package smoke

import (
	"context"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// right is something a user must be allowed.
type right struct {
	on          resource
	subresource string
	verbs       []string
	everywhere  bool // not in the namespace alone
}

// rights are those without which a run is not possible.
func (s *Settings) rights() []right {
	all := []right{
		{on: nodes, verbs: []string{"list"}, everywhere: true},
		{on: jobs, verbs: []string{"create", "list", "delete"}},
		{on: services, verbs: []string{"create", "list", "delete"}},
		{on: pods, verbs: []string{"create", "list", "watch", "delete"}},
	}
	if s.Steps.Logs {
		all = append(all, right{on: pods, subresource: "log", verbs: []string{"get"}})
	}
	if s.Steps.Exec {
		all = append(all, right{on: pods, subresource: "exec", verbs: []string{"get", "create"}})
	}
	if s.Steps.Policy {
		all = append(all, right{on: policies, verbs: []string{"create", "list", "delete"}})
	}
	if s.Steps.Volume {
		all = append(all, right{on: claims, verbs: []string{"create", "list", "delete"}})
	}
	return all
}

// aside is for questions that explain what has gone wrong, when the time of
// the step is up.
func aside(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
}

// missingRights asks the API server for those that this user has not, and
// words them; empty: it has all, or that cannot be told.
func (r *run) missingRights(ctx context.Context) string {
	ctx, cancel := aside(ctx)
	defer cancel()
	var missing []string
	for _, wanted := range r.s.rights() {
		var verbs []string
		for _, verb := range wanted.verbs {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Group: wanted.on.Group, Resource: wanted.on.name, Subresource: wanted.subresource, Verb: verb,
				},
			}}
			if !wanted.everywhere {
				review.Spec.ResourceAttributes.Namespace = r.s.Namespace
			}
			if err := r.c.create(reviews, "", review).Do(ctx).Into(review); err == nil && !review.Status.Allowed {
				verbs = append(verbs, verb)
			}
		}
		if len(verbs) == 0 {
			continue
		}
		what := strings.Join(verbs, ", ") + " " + wanted.on.name
		if wanted.subresource != "" {
			what += "/" + wanted.subresource
		}
		if !wanted.everywhere {
			what += fmt.Sprintf(" in the namespace %s", r.s.Namespace)
		}
		missing = append(missing, what)
	}
	return strings.Join(missing, "; ")
}
