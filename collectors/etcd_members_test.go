package collectors

import (
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/grapevine-mesh/grapevine/health"
)

func TestEtcdMembersAgainstEndpoints(t *testing.T) {
	member := func(id uint64, name, url string) *pb.Member {
		return &pb.Member{ID: id, Name: name, ClientURLs: []string{url}, PeerURLs: []string{"https://peer"}}
	}
	three := []*pb.Member{member(1, "m1", "https://a:2379"), member(2, "m2", "https://b:2379"), member(3, "m3", "https://c:2379")}
	type heard = etcdHeard
	for name, c := range map[string]struct {
		subjects []string
		heard    []heard
		status   health.Status
		words    string
	}{
		"all are asked": {[]string{"a:2379", "b:2379", "c:2379"},
			[]heard{{cluster: 9, member: 1, members: three}, {cluster: 9, member: 2, members: three}, {cluster: 9, member: 3, members: three}}, health.OK, ""},
		"by other names": {[]string{"x:1", "y:1", "z:1"},
			[]heard{{cluster: 9, member: 1, members: three}, {cluster: 9, member: 2, members: three}, {cluster: 9, member: 3, members: three}}, health.OK, ""},
		"one endpoint is enough for itself": {[]string{"a:2379"}, []heard{{cluster: 9, member: 1, members: three}}, health.OK, ""},
		"one is down": {[]string{"a:2379", "b:2379", "c:2379"},
			[]heard{{cluster: 9, member: 1, members: three}, {cluster: 9, member: 2, members: three}, {}}, health.OK, ""},
		"nobody asks m3": {[]string{"a:2379", "b:2379"},
			[]heard{{cluster: 9, member: 1, members: three}, {cluster: 9, member: 2, members: three}}, health.Warning, "member m3 (https://c:2379) is asked by no configured endpoint"},
		"an endpoint of nobody": {[]string{"a:2379", "b:2379", "c:2379", "d:2379"},
			[]heard{{cluster: 9, member: 1, members: three}, {cluster: 9, member: 2, members: three}, {cluster: 9, member: 3, members: three}, {}},
			health.Warning, "endpoint d:2379 has never answered and is the client URL of no member"},
		"two ways to one": {[]string{"a:2379", "lb:2379"},
			[]heard{{cluster: 9, member: 1, members: three}, {cluster: 9, member: 1, members: three}}, health.Warning, "lead to the same member"},
		"removed": {[]string{"a:2379", "b:2379"},
			[]heard{{cluster: 9, member: 1, members: three[:1]}, {cluster: 9, member: 2, members: three[:1]}}, health.Warning, "no member any more"},
		"another cluster": {[]string{"a:2379", "b:2379", "q:2379"},
			[]heard{{cluster: 9, member: 1, members: three[:2]}, {cluster: 9, member: 2, members: three[:2]}, {cluster: 8, member: 7, members: three}},
			health.Critical, "q:2379 belongs to another cluster (8)"},
		"silence": {[]string{"a:2379", "b:2379"}, []heard{{}, {}}, health.Unknown, "no endpoint gave a member list"},
		"never started": {[]string{"a:2379"},
			[]heard{{cluster: 9, member: 1, members: append(three[:1:1], &pb.Member{ID: 5, PeerURLs: []string{"https://e:2380"}})}},
			health.Warning, "has never started"},
	} {
		t.Run(name, func(t *testing.T) {
			check := &etcdCheck{names: &etcdNames{}}
			for i, subject := range c.subjects {
				check.targets = append(check.targets, &etcdTarget{subject: subject, heard: c.heard[i]})
				check.names.learn(c.heard[i].members)
			}
			r := NewReport(time.Now)
			check.judgeMembers(r)
			_, results := r.Take()
			if got := results[0]; got.Status != c.status || !strings.Contains(got.Reason, c.words) {
				t.Errorf("got %v %q", got.Status, got.Reason)
			}
		})
	}
}
