package main

import (
	"fmt"
	"strings"
)

const statusMetric = "grapevine_check_status"

// worst is the verdict by some labels that a person should see first: critical,
// then warning, then unknown, though its number is the largest.
func worst(by string, match ...string) string {
	s := series(statusMetric, match...)
	return either(most(by, s+" == 2"), most(by, s+" == 1"), most(by, s+" == 3"), most(by, s))
}

// verdicts counts the verdicts of one status. It is 0 where there are verdicts
// and none is such, and nothing where there are none: no data is not health.
func verdicts(status int, by string) string {
	return sum(by, fmt.Sprintf("%s == bool %d", now(statusMetric, "check, subject"), status))
}

// tiers are the checks in the order in which one goes wrong because of another,
// causes first. What is not named here comes last.
var tiers = []string{
	"disk|clock|system|host-network|certificates",
	"etcd|cri|docker|mtu|overlay",
	"apiserver|kubelet",
	"scheduler|controller-manager|service|mesh",
	"dns|pods",
}

// troubles are all verdicts that are not OK. The number says where to begin:
// critical before warning before unknown, and in each the causes before what
// follows from them. 40 is no data, 30 and more critical, 20 warning, 10
// unknown.
func troubles() string {
	labels := "cluster, node, check, subject"
	terms := []string{
		// An empty list must not be taken for health.
		fmt.Sprintf(`label_replace(label_replace(absent(%s), "check", "agent", "", ""), "subject", "no verdicts arrive", "", "") * 0 + 40`, series(statusMetric)),
		// The dead say nothing of themselves. Only an answer for all has this.
		fmt.Sprintf(`label_replace(label_replace(max by (cluster, node) (%s) < 1, "check", "agent", "", ""), "subject", "silent", "", "") * 0 + 39`,
			series("grapevine_node_up")),
	}
	for _, level := range []struct{ status, first int }{{2, 38}, {1, 28}, {3, 18}} {
		bad := fmt.Sprintf(" == %d", level.status)
		for i, tier := range tiers {
			terms = append(terms, fmt.Sprintf("%s * 0 + %d", most(labels, series(statusMetric, `check=~"`+tier+`"`)+bad), level.first-i))
		}
		others := `check!~"` + strings.Join(tiers, "|") + `"`
		terms = append(terms, fmt.Sprintf("%s * 0 + %d", most(labels, series(statusMetric, others)+bad), level.first-len(tiers)))
	}
	return either(terms...)
}

// nodesReporting is how many nodes' data arrive. An answer for all says so
// itself; who scrapes every node counts who answers.
func nodesReporting() string {
	return "(" + either(sum("", now("grapevine_node_up", "")), count(now("grapevine_node_info", ""))) + ")"
}

// nodesKnown is how many there should be: those that have not said goodbye.
func nodesKnown() string {
	return sum("", most("cluster", series("grapevine_mesh_partition_members_known")))
}
