package smoke

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func membersOf(n int) []member {
	all := make([]member, n)
	for i := range all {
		all[i].name = fmt.Sprintf("node-%d", i)
	}
	return all
}

// Every node has its turn in each round, and not always beside the same one.
func TestEveryNodeHasItsTurn(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 4, 5, 10, 51, 200} {
		all := membersOf(n)
		turns := (n + 1) / 2
		last, pairs := map[string]int{}, map[string]bool{}
		for turn := range 20 * turns {
			chosen := choose(all, uint64(turn))
			if len(chosen) != 2 || chosen[0] == chosen[1] {
				t.Fatalf("%d nodes, turn %d: %v", n, turn, chosen)
			}
			for _, name := range chosen {
				if waited := turn - last[name]; waited > max(2, n) {
					t.Errorf("%d nodes: %s has waited %d turns", n, name, waited)
				}
				last[name] = turn
			}
			slices.Sort(chosen)
			pairs[fmt.Sprint(chosen)] = true
		}
		for name, turn := range last {
			if 20*turns-turn > max(2, n) {
				t.Errorf("%d nodes: %s is forgotten", n, name)
			}
		}
		if len(last) != n || len(pairs) < min(n*(n-1)/2, 15*turns)*3/4 {
			t.Errorf("%d nodes: %d had their turn, in %d pairs", n, len(last), len(pairs))
		}
	}
}

// A node that comes and goes disturbs no other.
func TestOthersKeepTheirTurns(t *testing.T) {
	t.Parallel()
	const n = 20
	last := map[string]int{}
	for turn := range 30 * n {
		all := membersOf(n)
		if turn%3 > 0 {
			all[7].skipped = "not ready"
		}
		for _, name := range choose(all, uint64(turn)) {
			if waited := turn - last[name]; waited > n && name != "node-7" {
				t.Errorf("%s has waited %d turns", name, waited)
			}
			last[name] = turn
		}
	}
	one := membersOf(3)
	one[0].skipped, one[2].skipped = "cordoned", "cordoned"
	if got := choose(one, 5); !slices.Equal(got, []string{"node-1"}) {
		t.Errorf("of one that can be used: %v", got)
	}
	if got := choose(nil, 5); len(got) > 0 {
		t.Errorf("of none: %v", got)
	}
}

func TestUnusable(t *testing.T) {
	t.Parallel()
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue}
	for _, c := range []struct {
		want string
		edit func(*corev1.Node)
	}{
		{"", func(*corev1.Node) {}},
		{"", func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "rather", Effect: corev1.TaintEffectPreferNoSchedule}}
		}},
		{"tainted node-role.kubernetes.io/control-plane:NoSchedule", func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
		}},
		{"cordoned", func(n *corev1.Node) {
			n.Spec.Unschedulable = true
			n.Spec.Taints = []corev1.Taint{{Key: "node.kubernetes.io/unschedulable", Effect: corev1.TaintEffectNoSchedule}}
		}},
		{"of the operating system windows", func(n *corev1.Node) { n.Status.NodeInfo.OperatingSystem = "windows" }},
		{"of the architecture s390x, and the image of ", func(n *corev1.Node) { n.Status.NodeInfo.Architecture = "s390x" }},
		{"not ready: its kubelet is silent", func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }},
		{"not ready: its kubelet has said nothing yet", func(n *corev1.Node) { n.Status.Conditions = nil }},
		{"not ready: container runtime is down", func(n *corev1.Node) {
			n.Status.Conditions[0].Status, n.Status.Conditions[0].Message = corev1.ConditionFalse, "container runtime is down"
		}},
	} {
		n := &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{ready}}}
		c.edit(n)
		if got := unusable(n); got != c.want && (c.want == "" || len(got) < len(c.want) || got[:len(c.want)] != c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
