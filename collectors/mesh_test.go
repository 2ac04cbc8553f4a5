package collectors

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grapevine-mesh/grapevine/health"
)

// The verdicts of the mesh are passed on as they are.
func TestMesh(t *testing.T) {
	t.Parallel()
	if _, err := defaultMeshSettings().New(Env{}); !errors.Is(err, ErrAbsent) {
		t.Errorf("without a mesh: %v", err)
	}
	said := []health.Result{
		{Subject: "partition", Status: health.Critical, Reason: "split", Evidence: health.Evidence{Value: 3, Threshold: 8, Unit: "nodes"}},
		{Subject: "one-way", Status: health.Warning, Reason: "cut"},
	}
	c, err := defaultMeshSettings().New(Env{Mesh: func() []health.Result { return said }})
	must(t, err)
	now := time.Now()
	r := NewReport(func() time.Time { return now })
	must(t, c.Collect(t.Context(), r))
	_, got := r.Take()
	for i := range said {
		said[i].Observed = now
	}
	if diff := cmp.Diff(said, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
