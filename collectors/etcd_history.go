package collectors

import (
	"strconv"
	"time"
)

const (
	// leaderWindow is the time over which leader changes are counted; that
	// of the rule in etcd's mixin.
	leaderWindow = 15 * time.Minute
	// figureHold is how long the last known latency stands for a member that
	// writes nothing. Longer, and an idle member would stay bad for ever.
	figureHold = time.Minute
)

// etcdHistory remembers of one endpoint what only a difference between runs
// can tell.
type etcdHistory struct {
	now func() time.Time

	last    etcdFigures
	hasLast bool
	held    map[string]heldLatency // by what was measured

	// Leader changes are counted twice, by the member itself and by us when
	// its metrics are out of reach; the larger count is believed.
	counted, observed []leaderChange
	lastLeader        uint64 // 0 until one was seen
}

// heldLatency is the last 99th percentile that was measured.
type heldLatency struct {
	p99  float64 // seconds
	when time.Time
}

type leaderChange struct {
	when  time.Time
	times float64
}

func newEtcdHistory(now func() time.Time) *etcdHistory {
	return &etcdHistory{now: now, held: make(map[string]heldLatency)}
}

// leader notes who leads, as the member says; 0 for nobody.
func (h *etcdHistory) leader(id uint64) {
	if id == 0 || id == h.lastLeader {
		return
	}
	if h.lastLeader != 0 {
		h.observed = append(h.observed, leaderChange{h.now(), 1})
	}
	h.lastLeader = id
}

// changes notes the member's own count of leader changes.
func (h *etcdHistory) changes(count float64) {
	if count < 0 || !h.hasLast || h.last.leaderChanges < 0 {
		return
	}
	n := count - h.last.leaderChanges
	if n < 0 { // restarted: it counts from zero
		n = count
	}
	if n > 0 {
		h.counted = append(h.counted, leaderChange{h.now(), n})
	}
}

// recentLeaderChanges is their number within leaderWindow.
func (h *etcdHistory) recentLeaderChanges() float64 {
	return max(h.recent(&h.counted), h.recent(&h.observed))
}

func (h *etcdHistory) recent(changes *[]leaderChange) float64 {
	oldest := h.now().Add(-leaderWindow)
	for len(*changes) > 0 && (*changes)[0].when.Before(oldest) {
		*changes = (*changes)[1:]
	}
	var n float64
	for _, c := range *changes {
		n += c.times
	}
	return n
}

// interval is a latency over the time since the run before. When nothing was
// observed in it, p99 is the one that is held from before, or zero.
type interval struct {
	p50, p99 float64 // seconds
	measured bool    // something was observed
}

// latency compares two readings of a histogram. what tells histograms apart.
func (h *etcdHistory) latency(what string, now, before buckets) interval {
	var i interval
	if h.hasLast { // else there is no interval yet
		fresh := now.since(before)
		i.p99, i.measured = fresh.quantile(0.99)
		i.p50, _ = fresh.quantile(0.5)
	}
	if i.measured {
		h.held[what] = heldLatency{i.p99, h.now()}
		return i
	}
	held, ok := h.held[what]
	if !ok || h.now().Sub(held.when) > figureHold {
		delete(h.held, what)
		return i
	}
	i.p99 = held.p99
	return i
}

// judgeFigures exports and judges the member's own metrics.
func (t *etcdTarget) judgeFigures(r *Report, a *assessment, f etcdFigures) {
	h, limits := t.history, t.settings.Thresholds
	if f.leaderChanges >= 0 {
		r.Sample(&etcdLeaderChanges, f.leaderChanges, t.subject)
	}
	h.changes(f.leaderChanges)

	fsync := h.latency("fsync", f.fsync, h.last.fsync)
	fsync.export(r, &etcdFsyncP50, &etcdFsyncP99, t.subject)
	a.hold(fsync.p99, limits.WALFsyncP99.seconds(), "seconds",
		"needs %s (p99) for a WAL fsync: its disk is slow, etcd asks for less than 0.01 s", seconds(fsync.p99))

	commit := h.latency("commit", f.commit, h.last.commit)
	commit.export(r, &etcdCommitP50, &etcdCommitP99, t.subject)
	a.hold(commit.p99, limits.BackendCommitP99.seconds(), "seconds",
		"needs %s (p99) for a database commit: its disk is slow, etcd asks for less than 0.025 s", seconds(commit.p99))

	for id, now := range f.peers {
		before, had := h.last.peers[id]
		if !had { // a new peer: what it has so far is no interval
			continue
		}
		peer := id
		if n, err := strconv.ParseUint(id, 16, 64); err == nil {
			peer = t.names.name(n)
		}
		trip := h.latency("peer "+id, now, before)
		trip.export(r, &etcdPeerP50, &etcdPeerP99, t.subject, peer)
		a.hold(trip.p99, limits.PeerRoundTripP99.seconds(), "seconds",
			"needs %s (p99) for a round trip to its peer %s", seconds(trip.p99), peer)
	}
	h.last, h.hasLast = f, true
}

func (i interval) export(r *Report, p50, p99 *Metric, labels ...string) {
	if i.measured {
		r.Sample(p50, i.p50, labels...)
		r.Sample(p99, i.p99, labels...)
	}
}
