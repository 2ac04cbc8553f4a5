package collectors

import (
	"regexp"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/grapevine-mesh/grapevine/health"
)

// Alarms stand in the status as text: "memberID:1234 alarm:NOSPACE".
var etcdAlarmText = regexp.MustCompile(`memberID:\s*(\d+)\s+alarm:\s*([A-Z]+)`)

// judgeState exports and judges what the member says of itself.
func (t *etcdTarget) judgeState(r *Report, a *assessment, s *pb.StatusResponse, figures etcdFigures) {
	limits := t.settings.Thresholds
	self, leader := s.GetHeader().GetMemberId(), s.GetLeader()
	r.Sample(&etcdInfo, 1, t.subject, t.heard.name(self), clip(s.GetVersion(), 40))
	r.Sample(&etcdHasLeader, boolean(leader != 0), t.subject)
	r.Sample(&etcdIsLeader, boolean(leader == self), t.subject)
	r.Sample(&etcdIsLearner, boolean(s.GetIsLearner()), t.subject)
	r.Sample(&etcdTerm, float64(s.GetRaftTerm()), t.subject)
	if leader == 0 {
		a.add(health.Critical, "has no leader: writes and consistent reads fail, the quorum may be lost")
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

// judgeAlarms reads the alarms from the status: asking for them by their own
// request would write to the raft log each time. An alarm of any member
// makes the whole cluster refuse writes, so every endpoint speaks of it.
func (t *etcdTarget) judgeAlarms(r *Report, a *assessment, s *pb.StatusResponse) {
	self := s.GetHeader().GetMemberId()
	raised := map[[2]string]bool{{t.heard.name(self), "NOSPACE"}: false, {t.heard.name(self), "CORRUPT"}: false}
	for _, text := range s.GetErrors() {
		m := etcdAlarmText.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		id, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			continue
		}
		raised[[2]string{t.heard.name(id), m[2]}] = true
		switch m[2] {
		case "NOSPACE":
			a.add(health.Critical, "has alarm NOSPACE of member %s: the cluster refuses writes until space is made and the alarm disarmed", t.heard.name(id))
		default:
			a.add(health.Critical, "has alarm %s of member %s", clip(m[2], 20), t.heard.name(id))
		}
	}
	for key, on := range raised {
		r.Sample(&etcdAlarm, boolean(on), t.subject, key[0], key[1])
	}
}
