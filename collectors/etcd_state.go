package collectors

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/grapevine-mesh/grapevine/health"
)

// Alarms stand in the status as text: "memberID:1234 alarm:NOSPACE".
var etcdAlarmText = regexp.MustCompile(`memberID:\s*(\d+)\s+alarm:\s*([A-Z]+)`)

// judgeState exports and judges what the member says of itself.
func (t *etcdTarget) judgeState(r *Report, a *assessment, s *pb.StatusResponse, figures etcdFigures) {
	limits := t.settings.Thresholds
	self, leader := s.GetHeader().GetMemberId(), s.GetLeader()
	r.Sample(&etcdInfo, 1, t.subject, t.names.name(self), clip(s.GetVersion(), 40))
	r.Sample(&etcdHasLeader, boolean(leader != 0), t.subject)
	r.Sample(&etcdIsLeader, boolean(leader == self), t.subject)
	r.Sample(&etcdIsLearner, boolean(s.GetIsLearner()), t.subject)
	r.Sample(&etcdTerm, float64(s.GetRaftTerm()), t.subject)
	if leader == 0 {
		a.add(health.Critical, "has no leader: writes and consistent reads fail, %s", t.quorum(self))
	}
	for id, up := range t.heard.contact {
		r.Sample(&etcdPeerContact, boolean(up), t.subject, t.names.name(id))
	}
	t.history.leader(leader)
	recent := t.history.recentLeaderChanges()
	r.Sample(&etcdRecentLeaderChanges, recent, t.subject)
	a.hold(recent, limits.LeaderChanges, "changes", "saw %g leader changes within %g min", recent, leaderWindow.Minutes())

	var lag float64
	if committed, applied := s.GetRaftIndex(), s.GetRaftAppliedIndex(); committed > applied {
		lag = float64(committed - applied)
	}
	r.Sample(&etcdAppliedLag, lag, t.subject)
	a.hold(lag, limits.AppliedLag, "entries", "is %g raft entries behind in applying what is committed", lag)

	quota := float64(s.GetDbSizeQuota())
	if quota == 0 { // before etcd 3.6 only its metrics have it
		quota = figures.quota
	}
	used := float64(s.GetDbSize())
	r.Sample(&etcdDatabaseSize, used, t.subject)
	r.Sample(&etcdDatabaseInUse, float64(s.GetDbSizeInUse()), t.subject)
	if quota > 0 {
		r.Sample(&etcdDatabaseQuota, quota, t.subject)
		a.hold(used/quota, limits.DatabaseQuota, "ratio", "database of %s fills %s of its quota of %s, of which %s is in use",
			size(used), percent(used/quota), size(quota), size(float64(s.GetDbSizeInUse())))
	}
	t.judgeAlarms(r, a, s)
	if t.heard.members != nil {
		voters, learners := 0, 0
		for _, m := range t.heard.members {
			if m.GetIsLearner() {
				learners++
			} else {
				voters++
			}
		}
		r.Sample(&etcdMembers, float64(voters), t.subject)
		r.Sample(&etcdLearners, float64(learners), t.subject)
	}
}

// quorum words how much of the cluster a member without a leader reaches.
// What it says of its contacts is not all: etcd counts a peer that hangs as
// there for as long as the connection stands.
func (t *etcdTarget) quorum(self uint64) string {
	peers := make(map[uint64]bool) // those that vote, and whether there is contact
	for id, up := range t.heard.contact {
		peers[id] = up
	}
	for _, m := range t.heard.members {
		if m.GetIsLearner() {
			delete(peers, m.GetID())
		} else {
			peers[m.GetID()] = t.heard.contact[m.GetID()]
		}
	}
	delete(peers, self)
	voters, reached := 1, 1 // itself
	var lost []string
	for id, up := range peers {
		voters++
		if up && !t.peers.silent(id) {
			reached++
		} else {
			lost = append(lost, t.names.name(id))
		}
	}
	if t.heard.contact == nil || reached > voters/2 {
		return "the quorum may be lost"
	}
	slices.Sort(lost)
	return fmt.Sprintf("the quorum is lost: it reaches %d of %d voting members, itself included, and not %s",
		reached, voters, clip(strings.Join(lost, ", "), 120))
}

// judgeAlarms reads the alarms from the status: asking for them by their own
// request would write to the raft log each time. An alarm of any member
// makes the whole cluster refuse writes, so every endpoint speaks of it.
func (t *etcdTarget) judgeAlarms(r *Report, a *assessment, s *pb.StatusResponse) {
	self := s.GetHeader().GetMemberId()
	raised := map[[2]string]bool{{t.names.name(self), "NOSPACE"}: false, {t.names.name(self), "CORRUPT"}: false}
	for _, text := range s.GetErrors() {
		m := etcdAlarmText.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		id, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			continue
		}
		raised[[2]string{t.names.name(id), m[2]}] = true
		switch m[2] {
		case "NOSPACE":
			a.add(health.Critical, "has alarm NOSPACE of member %s: the cluster refuses writes until space is made and the alarm disarmed", t.names.name(id))
		case "CORRUPT":
			a.add(health.Critical, "has alarm CORRUPT of member %s: its data differ from those of the others, and the cluster refuses all requests", t.names.name(id))
		default:
			a.add(health.Critical, "has alarm %s of member %s", clip(m[2], 20), t.names.name(id))
		}
	}
	for key, on := range raised {
		r.Sample(&etcdAlarm, boolean(on), t.subject, key[0], key[1])
	}
}
