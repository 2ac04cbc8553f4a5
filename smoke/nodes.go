package smoke

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"runtime"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodePage is how many nodes are asked for at a time: one takes some 10 kB,
// and little of it is kept.
const nodePage = 50

// member is a node as the choice sees it.
type member struct {
	name    string
	skipped string // why no pod can be put on it now; empty: one can
}

// members lists the nodes.
func (c *Client) members(ctx context.Context) ([]member, error) {
	var all []member
	o := metav1.ListOptions{Limit: nodePage}
	for {
		var page corev1.NodeList
		if err := c.list(nodes, "", o).Do(ctx).Into(&page); err != nil {
			return nil, err
		}
		for i := range page.Items {
			all = append(all, member{page.Items[i].Name, unusable(&page.Items[i])})
		}
		if o.Continue = page.Continue; o.Continue == "" {
			return all, nil
		}
	}
}

// unusable tells why no pod of ours can be put on a node now.
func unusable(n *corev1.Node) string {
	os, arch := n.Status.NodeInfo.OperatingSystem, n.Status.NodeInfo.Architecture
	switch {
	case os != "" && os != "linux":
		return "of the operating system " + os
	case arch != "" && arch != runtime.GOARCH:
		return fmt.Sprintf("of the architecture %s, and the image of %s", arch, runtime.GOARCH)
	case n.DeletionTimestamp != nil:
		return "being removed"
	case n.Spec.Unschedulable:
		return "cordoned"
	}
	ready := condition(n, corev1.NodeReady)
	switch {
	case ready == nil:
		return "not ready: its kubelet has said nothing yet"
	case ready.Status == corev1.ConditionUnknown:
		return "not ready: its kubelet is silent"
	case ready.Status != corev1.ConditionTrue:
		return "not ready: " + clip(ready.Message, 200)
	}
	for _, taint := range n.Spec.Taints {
		if taint.Effect == corev1.TaintEffectNoSchedule || taint.Effect == corev1.TaintEffectNoExecute {
			return "tainted " + taint.ToString()
		}
	}
	return ""
}

func condition(n *corev1.Node, kind corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == kind {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

// choose returns the nodes of a turn: two, fewer when there are none. All
// members take part in rounds of len/2 turns; in each they stand in another
// order, by a hash, and each turn takes the next two. So every node has its
// turn once in a round, and never waits for longer than len turns; and who
// stands beside it changes with the round. Members that cannot be used stand
// in the order, too, so that one that comes and goes disturbs no other; who is
// next after it stands in for it.
func choose(all []member, turn uint64) []string {
	if len(all) == 0 {
		return nil
	}
	turns := uint64(len(all)+1) / 2
	round, at := turn/turns, int(turn%turns)*2
	order := slices.Clone(all)
	slices.SortFunc(order, func(a, b member) int {
		x, y := place(round, a.name), place(round, b.name)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	var chosen []string
	for i := range order {
		m := order[(at+i)%len(order)]
		if m.skipped == "" && len(chosen) < 2 {
			chosen = append(chosen, m.name)
		}
	}
	return chosen
}

// place is where a name stands in a round.
func place(round uint64, name string) uint64 {
	h := fnv.New64a()
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], round)
	_, _ = h.Write([]byte(name))
	_, _ = h.Write(b[:])
	// FNV alone stirs the last bytes little.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}
