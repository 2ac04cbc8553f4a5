package state

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
)

// SetBare says whether the store is to hold the verdicts of other nodes only,
// and not their values. It drops those it holds; they come back by repair.
func (s *Store) SetBare(bare bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bare == s.bare {
		return
	}
	s.bare = bare
	if !bare {
		return
	}
	for name, n := range s.nodes {
		if name != s.cfg.Self && !n.frame.Bare {
			n.frame = s.bareOf(n.frame)
			n.snapshot = s.blobs[n.frame.Schema].verdictsOnly(n.snapshot)
		}
	}
}

// bareOf returns f without its values, and without the memory that they took.
func (s *Store) bareOf(f *frame.Frame) *frame.Frame {
	if f.Bare {
		return f
	}
	bare := f.WithoutValues()
	if alone, err := s.cfg.Reader.Head(bare.Raw); err == nil {
		return alone
	}
	return bare
}

// stripped reports whether the values of n are to be had again.
func (s *Store) stripped(n *node) bool { return n.frame.Bare && !s.bare }

// statusFamily is the family in which a node exports its verdicts: the one
// that can be told without the node's values.
const statusFamily = "grapevine_check_status"

// verdictsOnly returns what of a snapshot can be told without its values.
func (b *blob) verdictsOnly(s *health.Snapshot) *health.Snapshot {
	if b.verdicts == nil {
		b.verdicts = &health.Schema{Version: b.schema.Series.Version}
		for _, f := range b.schema.Series.Families {
			if f.Name == statusFamily && f.Type == health.Gauge {
				b.verdicts.Families = []health.Family{f}
			}
		}
	}
	bare := &health.Snapshot{Node: s.Node, Schema: b.verdicts, Results: s.Results}
	if len(b.verdicts.Families) == 0 {
		return bare
	}
	type subject struct{ check, subject string }
	status := make(map[subject]health.Status, len(s.Results))
	for _, r := range s.Results {
		status[subject{r.Check, r.Subject}] = r.Status
	}
	for _, series := range b.verdicts.Families[0].Series {
		var of subject
		for _, l := range series.Labels {
			switch l.Name {
			case "check":
				of.check = l.Value
			case "subject":
				of.subject = l.Value
			}
		}
		verdict, ok := status[of]
		if !ok {
			verdict = health.Unknown
		}
		bare.Values = append(bare.Values, float64(verdict))
	}
	return bare
}

// refresh is after how many frames the verdicts of a node count as changed
// although their statuses are not, if one of them is bad: so their reasons and
// values do not grow older than that.
const refresh = 16

// verdictsOf tells verdicts apart: two frames of a node with the same sum say
// the same. Sums of several nodes may be added.
func verdictsOf(f *frame.Frame, results []health.Result) uint64 {
	b := append(make([]byte, 0, 64+len(f.Node)+len(results)), f.Node...)
	b = append(append(b, 0), f.Schema[:]...)
	b = binary.BigEndian.AppendUint64(b, f.Version.Epoch)
	bad := false
	for _, r := range results {
		b = append(b, byte(r.Status))
		bad = bad || r.Status != health.OK
	}
	if bad {
		b = binary.BigEndian.AppendUint64(b, f.Version.Number/refresh)
	}
	return xxhash.Sum64(b)
}
