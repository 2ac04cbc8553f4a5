package collectors

import (
	"net/url"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/grapevine-mesh/grapevine/health"
)

// membersSubject is the subject of the verdict on the member list.
const membersSubject = "members"

// judgeMembers holds the cluster's member list against the endpoints that
// are asked, and against what the members say of each other. Who answers at
// an endpoint is known by its member id: an endpoint may well have another
// name than the member advertises. Only for an endpoint that has never
// answered the URLs are compared.
func (c *etcdCheck) judgeMembers(r *Report) {
	a := &assessment{about: "etcd:"}
	cluster := commonCluster(c.targets)
	var members []*pb.Member
	for _, t := range c.targets {
		if t.heard.members != nil && t.heard.cluster == cluster && !t.heard.removed() {
			members = t.heard.members[:min(len(t.heard.members), maxEtcdPeers)]
			break
		}
	}
	if members == nil {
		c.peers.next = time.Time{}
		a.add(health.Unknown, "no endpoint gave a member list")
		a.verdict(r, membersSubject)
		return
	}
	asked := c.judgeEndpoints(a, members, cluster)
	bad := slices.ContainsFunc(c.targets, func(t *etcdTarget) bool { return !t.heard.answered || t.heard.leaderless })
	for _, m := range members {
		name := c.names.name(m.GetID())
		switch {
		case m.GetName() == "" && len(m.GetClientURLs()) == 0:
			a.add(health.Warning, "member %s (peer URL %s) was added and has never started", name, clip(strings.Join(m.GetPeerURLs(), " "), 80))
		case len(c.targets) > 1 && asked[m.GetID()] == "":
			a.add(health.Warning, "member %s (%s) is asked by no configured endpoint", name, clip(strings.Join(m.GetClientURLs(), " "), 80))
		}
		bad = c.peers.judge(r, a, m, name, cluster) || bad
		if without := c.without(m, cluster); len(without) > 0 {
			bad = true
			a.add(health.Warning, "no contact from member %s to its peer %s", strings.Join(without, " and "), name)
		}
	}
	c.peers.list = members
	if bad {
		c.peers.next = time.Time{} // to see at once when it is well again
	}
	a.measured = health.Evidence{Value: float64(len(members)), Unit: "members"}
	a.verdict(r, membersSubject)
}

// judgeEndpoints holds the endpoints against the member list, and returns
// which of them leads to each member, by its id.
func (c *etcdCheck) judgeEndpoints(a *assessment, members []*pb.Member, cluster uint64) map[uint64]string {
	asked := make(map[uint64]string)
	for _, t := range c.targets {
		known := slices.ContainsFunc(members, func(m *pb.Member) bool { return m.GetID() == t.heard.member })
		switch {
		case t.heard.cluster != 0 && t.heard.cluster != cluster:
			a.add(health.Critical, "endpoint %s belongs to another cluster (%x) than the others (%x)", t.subject, t.heard.cluster, cluster)
		case known && asked[t.heard.member] != "":
			a.add(health.Warning, "endpoints %s and %s lead to the same member %s", asked[t.heard.member], t.subject, c.names.name(t.heard.member))
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
	return asked
}

// without names the members that say in this run that they have no contact
// to m.
func (c *etcdCheck) without(m *pb.Member, cluster uint64) (names []string) {
	for _, t := range c.targets {
		if up, known := t.heard.contact[m.GetID()]; known && !up && t.heard.cluster == cluster && t.heard.member != m.GetID() {
			names = append(names, c.names.name(t.heard.member))
		}
	}
	return names
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
