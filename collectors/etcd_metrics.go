package collectors

import "github.com/grapevine-mesh/grapevine/health"

// What the etcd check exports. Labels: endpoint is host:port as asked;
// consistency is linearizable (through the quorum) or serializable (from the
// member alone); member and peer are names of etcd members.
var (
	etcdUp = Metric{
		Name: "grapevine_etcd_up", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Whether the etcd endpoint answered in the last run.",
	}
	etcdInfo = Metric{
		Name: "grapevine_etcd_member_info", Type: health.Gauge, Labels: []string{"endpoint", "member", "version"},
		Help: "The etcd member that answers at the endpoint, and its version; always 1.",
	}
	etcdReadSeconds = Metric{
		Name: "grapevine_etcd_read_duration_seconds", Type: health.Histogram, Labels: []string{"endpoint", "consistency"},
		Help:    "Time of successful reads of one key, without connecting.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	}
	etcdReadLast = Metric{
		Name: "grapevine_etcd_read_last_duration_seconds", Type: health.Gauge, Labels: []string{"endpoint", "consistency"},
		Help: "Time the last read took; when it failed, the time until then.",
	}
	etcdReadSuccess = Metric{
		Name: "grapevine_etcd_read_success", Type: health.Gauge, Labels: []string{"endpoint", "consistency"},
		Help: "Whether the last read was answered.",
	}
	etcdPhase = Metric{
		Name: "grapevine_etcd_request_phase_seconds", Type: health.Gauge, Labels: []string{"endpoint", "phase"},
		Help: "Time of the parts of a request: resolve, dial and tls of the newest connection, made once a minute and when the endpoint fails, and request.",
	}
	etcdExpiry = Metric{
		Name: "grapevine_etcd_certificate_expiry_timestamp_seconds", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "When the first of the certificates that the endpoint shows expires, in seconds since the epoch.",
	}
	etcdHasLeader = Metric{
		Name: "grapevine_etcd_has_leader", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Whether the member knows a leader.",
	}
	etcdIsLeader = Metric{
		Name: "grapevine_etcd_is_leader", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Whether the member is the leader.",
	}
	etcdIsLearner = Metric{
		Name: "grapevine_etcd_is_learner", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Whether the member is a learner, which has no vote.",
	}
	etcdLeaderChanges = Metric{
		Name: "grapevine_etcd_leader_changes_seen_total", Type: health.Counter, Labels: []string{"endpoint"},
		Help: "Leader changes the member has seen since it started, by its own count.",
	}
	etcdRecentLeaderChanges = Metric{
		Name: "grapevine_etcd_recent_leader_changes", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Leader changes within the last 15 minutes, as far as this check has watched.",
	}
	etcdAppliedLag = Metric{
		Name: "grapevine_etcd_raft_applied_lag_entries", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Raft entries the member has committed and not yet applied.",
	}
	etcdTerm = Metric{
		Name: "grapevine_etcd_raft_term", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Raft term of the member.",
	}
	etcdDatabaseSize = Metric{
		Name: "grapevine_etcd_database_size_bytes", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Size of the member's database file.",
	}
	etcdDatabaseInUse = Metric{
		Name: "grapevine_etcd_database_in_use_bytes", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Part of the database that is in use; defragmentation frees the rest.",
	}
	etcdDatabaseQuota = Metric{
		Name: "grapevine_etcd_database_quota_bytes", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Size of the database at which etcd refuses writes.",
	}
	etcdAlarm = Metric{
		Name: "grapevine_etcd_alarm_active", Type: health.Gauge, Labels: []string{"endpoint", "member", "alarm"},
		Help: "Whether the alarm of the member is raised, as known at the endpoint.",
	}
	etcdMembers = Metric{
		Name: "grapevine_etcd_members", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Voting members in the member list of the endpoint.",
	}
	etcdLearners = Metric{
		Name: "grapevine_etcd_learners", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Learners in the member list of the endpoint.",
	}
	etcdPeerContact = Metric{
		Name: "grapevine_etcd_peer_contact", Type: health.Gauge, Labels: []string{"endpoint", "peer"},
		Help: "Whether the member has contact to its peer, as it says itself.",
	}
	etcdPeerUp = Metric{
		Name: "grapevine_etcd_peer_url_up", Type: health.Gauge, Labels: []string{"member"},
		Help: "Whether the peer URL of the member, as it stands in the member list, answers as a member of this cluster does; absent when it wants other certificates than ours.",
	}
	etcdMetricsUp = Metric{
		Name: "grapevine_etcd_metrics_up", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Whether the member's own metrics could be read.",
	}
	etcdFsyncP50 = Metric{
		Name: "grapevine_etcd_wal_fsync_p50_seconds", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Median time of the member's WAL fsyncs since the run before; absent when it wrote nothing.",
	}
	etcdFsyncP99 = Metric{
		Name: "grapevine_etcd_wal_fsync_p99_seconds", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "99th percentile of the member's WAL fsyncs since the run before; absent when it wrote nothing.",
	}
	etcdCommitP50 = Metric{
		Name: "grapevine_etcd_backend_commit_p50_seconds", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "Median time of the member's database commits since the run before; absent when there was none.",
	}
	etcdCommitP99 = Metric{
		Name: "grapevine_etcd_backend_commit_p99_seconds", Type: health.Gauge, Labels: []string{"endpoint"},
		Help: "99th percentile of the member's database commits since the run before; absent when there was none.",
	}
	etcdPeerP50 = Metric{
		Name: "grapevine_etcd_peer_round_trip_p50_seconds", Type: health.Gauge, Labels: []string{"endpoint", "peer"},
		Help: "Median round trip from the member to a peer since the run before; absent when none was measured.",
	}
	etcdPeerP99 = Metric{
		Name: "grapevine_etcd_peer_round_trip_p99_seconds", Type: health.Gauge, Labels: []string{"endpoint", "peer"},
		Help: "99th percentile of round trips from the member to a peer since the run before; absent when none was measured.",
	}
)

var etcdMetrics = []Metric{
	etcdUp, etcdInfo, etcdReadSeconds, etcdReadLast, etcdReadSuccess, etcdPhase, etcdExpiry,
	etcdHasLeader, etcdIsLeader, etcdIsLearner, etcdLeaderChanges, etcdRecentLeaderChanges,
	etcdAppliedLag, etcdTerm, etcdDatabaseSize, etcdDatabaseInUse, etcdDatabaseQuota,
	etcdAlarm, etcdMembers, etcdLearners, etcdPeerContact, etcdPeerUp, etcdMetricsUp,
	etcdFsyncP50, etcdFsyncP99, etcdCommitP50, etcdCommitP99, etcdPeerP50, etcdPeerP99,
}
