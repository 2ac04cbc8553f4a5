package collectors

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Bounds of what is read from a member's metrics listener, in bytes. A
// member exports some hundred kilobytes.
const (
	maxExposition     = 8 << 20
	maxExpositionLine = 64 << 10
	maxEtcdFamilies   = 512 << 10 // the lines that are parsed
	maxEtcdPeers      = 32
)

// The families that are read from a member's own metrics.
const (
	familyFsync         = "etcd_disk_wal_fsync_duration_seconds"
	familyCommit        = "etcd_disk_backend_commit_duration_seconds"
	familyPeer          = "etcd_network_peer_round_trip_time_seconds"
	familyLeaderChanges = "etcd_server_leader_changes_seen_total"
	familyQuota         = "etcd_server_quota_backend_bytes"
	familyHasLeader     = "etcd_server_has_leader"
	familyContact       = "etcd_network_active_peers"
)

var etcdFamilies = []string{familyFsync, familyCommit, familyPeer, familyLeaderChanges, familyQuota, familyHasLeader, familyContact}

// etcdFigures is what a member's own metrics tell.
type etcdFigures struct {
	fsync, commit buckets            // seconds
	peers         map[string]buckets // seconds, by member id in hexadecimal
	leaderChanges float64            // since the member started; -1 when it does not say
	quota         float64            // bytes; 0 when it does not say
	hasLeader     bool
	contact       map[uint64]bool // to each peer, by member id
}

// figures reads the member's metrics.
func (t *etcdTarget) figures(ctx context.Context) (etcdFigures, error) {
	t.mu.Lock()
	web := t.web
	t.mu.Unlock()
	if web == nil {
		return etcdFigures{}, errClosed
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.metricsURL, nil)
	if err != nil {
		return etcdFigures{}, err
	}
	resp, err := web.Do(req)
	if err != nil {
		return etcdFigures{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return etcdFigures{}, fmt.Errorf("%s answers %s", t.metricsURL, clip(resp.Status, 80))
	}
	return readFigures(resp.Body)
}

// readFigures parses an exposition. Only the lines of the few families that
// are needed get as far as the parser: the whole of it, every three seconds,
// would be most of what this check costs.
func readFigures(body io.Reader) (etcdFigures, error) {
	limited := &io.LimitedReader{R: body, N: maxExposition}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 4<<10), maxExpositionLine)
	var wanted bytes.Buffer
	for lines.Scan() {
		if isWanted(lines.Bytes()) {
			wanted.Write(lines.Bytes())
			wanted.WriteByte('\n')
		}
		if wanted.Len() > maxEtcdFamilies {
			return etcdFigures{}, fmt.Errorf("reading metrics: more than %s of the few families that are read", size(maxEtcdFamilies))
		}
	}
	if err := lines.Err(); err != nil {
		return etcdFigures{}, fmt.Errorf("reading metrics: %w", err)
	}
	if limited.N == 0 {
		return etcdFigures{}, fmt.Errorf("reading metrics: more than %s", size(maxExposition))
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&wanted)
	if err != nil {
		return etcdFigures{}, fmt.Errorf("reading metrics: %w", err)
	}
	f := etcdFigures{peers: make(map[string]buckets), leaderChanges: -1, contact: make(map[uint64]bool)}
	if families[familyFsync] == nil {
		return etcdFigures{}, fmt.Errorf("the answer holds no %s", familyFsync)
	}
	for _, m := range families[familyFsync].GetMetric() {
		f.fsync = bucketsOf(m.GetHistogram())
	}
	for _, m := range families[familyCommit].GetMetric() {
		f.commit = bucketsOf(m.GetHistogram())
	}
	for _, m := range families[familyPeer].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "To" && len(f.peers) < maxEtcdPeers {
				f.peers[clip(l.GetValue(), 80)] = bucketsOf(m.GetHistogram())
			}
		}
	}
	for _, m := range families[familyLeaderChanges].GetMetric() {
		f.leaderChanges = m.GetCounter().GetValue()
	}
	for _, m := range families[familyQuota].GetMetric() {
		f.quota = m.GetGauge().GetValue()
	}
	for _, m := range families[familyHasLeader].GetMetric() {
		f.hasLeader = m.GetGauge().GetValue() != 0
	}
	for _, m := range families[familyContact].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() != "Remote" || len(f.contact) == maxEtcdPeers {
				continue
			}
			if id, err := strconv.ParseUint(l.GetValue(), 16, 64); err == nil {
				f.contact[id] = m.GetGauge().GetValue() != 0
			}
		}
	}
	return f, nil
}

// isWanted tells whether a line of an exposition belongs to etcdFamilies.
func isWanted(line []byte) bool {
	if rest, comment := bytes.CutPrefix(line, []byte("# TYPE ")); comment {
		line = rest
	}
	for _, family := range etcdFamilies {
		rest, ok := bytes.CutPrefix(line, []byte(family))
		if ok && len(rest) > 0 && strings.IndexByte(" {_", rest[0]) >= 0 {
			return true
		}
	}
	return false
}
