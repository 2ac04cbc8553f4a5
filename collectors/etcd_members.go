package collectors

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/grapevine-mesh/grapevine/health"
)

// membersSubject is the subject of the verdict on the member list.
const membersSubject = "members"

// judgeEtcdMembers holds the cluster's member list against the endpoints
// that were configured. Who answers at an endpoint is known by its member
// id: an endpoint may well have another name than the member advertises.
// Only for an endpoint that has never answered the URLs are compared.
func judgeEtcdMembers(r *Report, targets []*etcdTarget) {
	a := &assessment{about: "etcd"}
	cluster := commonCluster(targets)
	var members []*pb.Member
	for _, t := range targets {
		if t.heard.members != nil && t.heard.cluster == cluster && !t.heard.removed() {
			members = t.heard.members
			break
		}
	}
	if members == nil {
		a.add(health.Unknown, "gave no member list at any endpoint")
		a.verdict(r, membersSubject)
		return
	}
	asked := make(map[uint64]string) // member id to the endpoint that leads there
	for _, t := range targets {
		known := slices.ContainsFunc(members, func(m *pb.Member) bool { return m.GetID() == t.heard.member })
		switch {
		case t.heard.cluster != 0 && t.heard.cluster != cluster:
			a.add(health.Critical, "endpoint %s belongs to another cluster (%x) than the others (%x)", t.subject, t.heard.cluster, cluster)
		case known && asked[t.heard.member] != "":
			a.add(health.Warning, "endpoints %s and %s lead to the same member %s", asked[t.heard.member], t.subject, t.heard.name(t.heard.member))
		case known:
			asked[t.heard.member] = t.subject
		case t.heard.cluster != 0:
			a.add(health.Warning, "endpoint %s is answered by %x, which is no member any more", t.subject, t.heard.member)
		default:
			if m := advertising(members, t.subject); m != nil {
				asked[m.GetID()] = t.subject
			} else {
				a.add(health.Warning, "endpoint %s has never answered and is the client URL of no member", t.subject)
			}
		}
	}
	for _, m := range members {
		switch {
		case m.GetName() == "" && len(m.GetClientURLs()) == 0:
			a.add(health.Warning, "member %x (peer URL %s) was added and has never started", m.GetID(), clip(strings.Join(m.GetPeerURLs(), " "), 80))
		case len(targets) > 1 && asked[m.GetID()] == "":
			a.add(health.Warning, "member %s (%s) is asked by no configured endpoint", memberName(m), clip(strings.Join(m.GetClientURLs(), " "), 80))
		}
	}
	a.measured = health.Evidence{Value: float64(len(members)), Unit: "members"}
	a.verdict(r, membersSubject)
}

// removed tells whether the member that answers is not in its own list.
func (h *etcdHeard) removed() bool {
	return !slices.ContainsFunc(h.members, func(m *pb.Member) bool { return m.GetID() == h.member })
}

// commonCluster is the cluster id most endpoints agree on, the first of them
// when there is a tie, 0 when none has ever answered.
func commonCluster(targets []*etcdTarget) uint64 {
	votes := make(map[uint64]int)
	var common uint64
	for _, t := range targets {
		if t.heard.cluster != 0 {
			votes[t.heard.cluster]++
		}
	}
	for _, t := range targets {
		if votes[t.heard.cluster] > votes[common] {
			common = t.heard.cluster
		}
	}
	return common
}

// advertising is the member that has a client URL with host and port, or nil.
func advertising(members []*pb.Member, hostPort string) *pb.Member {
	for _, m := range members {
		for _, client := range m.GetClientURLs() {
			if u, err := url.Parse(client); err == nil && u.Host == hostPort {
				return m
			}
		}
	}
	return nil
}

func memberName(m *pb.Member) string {
	if m.GetName() == "" {
		return strconv.FormatUint(m.GetID(), 16)
	}
	return clip(m.GetName(), 80)
}
