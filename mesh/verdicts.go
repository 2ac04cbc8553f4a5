package mesh

import (
	"fmt"
	"strings"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/reach"
)

// SubjectPartition is the subject of the verdict that is always there; those
// on ways that are cut bear the kind of the cut.
const SubjectPartition = "partition"

// maxReason bounds a reason, in bytes.
const maxReason = 600

// Verdicts is what this node says of the mesh as far as it is party to it:
// whether it is split, and which of its own ways are cut. The results have no
// check, nor times. There is one at least.
func (m *Mesh) Verdicts() []health.Result {
	p := m.reach.picture.Load()
	if p == nil {
		return []health.Result{{Subject: SubjectPartition, Status: health.Unknown, Reason: "this node has only begun to look for the others"}}
	}
	return verdictsOf(p, m.cfg.Node)
}

func verdictsOf(p *reach.Picture, self string) []health.Result {
	evidence := health.Evidence{Value: float64(len(p.Reached)), Threshold: float64(p.Known), Unit: "nodes"}
	partition := health.Result{Subject: SubjectPartition, Evidence: evidence}
	if len(p.Down) > 0 {
		partition.Reason = fmt.Sprintf("%s reaches %d of %d members; not reached, and no split: %s",
			self, len(p.Reached), p.Known, strings.Join(p.Down, ", "))
	}
	results := []health.Result{partition}
	at := map[reach.Kind]int{reach.Split: 0}
	for _, f := range p.Own(self) {
		if f.Kind == reach.Unreachable {
			continue // of this node itself: nobody can be
		}
		i, ok := at[f.Kind]
		if !ok {
			i = len(results)
			at[f.Kind] = i
			results = append(results, health.Result{Subject: string(f.Kind), Evidence: evidence})
		}
		r := &results[i]
		if f.Status.WorseThan(r.Status) {
			r.Status, r.Reason = f.Status, f.Text
			continue
		}
		r.Reason += "; " + f.Text
	}
	for i := range results {
		results[i].Reason = clipped(results[i].Reason)
	}
	return results
}

// clipped keeps a reason within what travels.
func clipped(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:maxReason-3], "") + "..."
}

// Changed receives when a way to another node has opened or shut, so that the
// others hear of it at once.
func (m *Mesh) Changed() <-chan struct{} { return m.reach.changed }
