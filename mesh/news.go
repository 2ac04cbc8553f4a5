package mesh

import (
	"sync"
	"time"

	"github.com/go-kit/log/level"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/news"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// urgent tells by gossip what cannot wait for a frame, and puts what others
// tell into the View until a frame says it too.
type urgent struct {
	*Mesh
	board *news.Board

	mu     sync.Mutex                     // guards what follows
	pace   news.Pace                      // of what this node tells
	before map[news.Subject]health.Status // as published last
}

func newUrgent(m *Mesh) *urgent { return &urgent{Mesh: m, board: news.NewBoard()} }

// What can become of news, beside what package news says.
const (
	newsSent     = "sent"
	newsWithheld = "withheld"         // told lately, or many tell: frames bring it
	newsTooLong  = "too_long"         // names too long for the gossip
	newsFailed   = "failed"           // serf would not take it
	newsGarbage  = "garbage"          // cannot be read
	newsOld      = "old"              // a frame held is as new, or it is older than data may be
	newsUnknown  = "unknown_identity" // of a node whose identity is not held
	newsForged   = "forged"           // not signed by that identity
)

// published tells which verdicts have turned critical. Everybody gets the
// frame, too: what is not told by gossip is there a little later.
func (u *urgent) published(results []health.Result) {
	if u.gossip == nil {
		return // before Listen there is nobody to tell
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := make(map[news.Subject]health.Status, len(results))
	for _, r := range results {
		subject := news.Subject{Check: r.Check, Subject: r.Subject}
		now[subject] = r.Status
		if r.Status == health.Critical && u.before[subject] != health.Critical {
			u.count(u.tell(subject, r))
		}
	}
	u.before = now
}

// tell sends one verdict and returns what became of it.
func (u *urgent) tell(subject news.Subject, r health.Result) (outcome string) {
	now := u.cfg.Now()
	version, uptime := u.store.Spoken()
	item := news.Item{
		Node: u.cfg.Node, Version: version, Uptime: uptime,
		Check: r.Check, Subject: r.Subject, Status: r.Status, Reason: r.Reason,
		Observed: now.Sub(r.Observed), Since: now.Sub(r.Since),
	}
	payload, err := item.Encode(u.cfg.Cluster, u.trust.identity.Load().frameKey)
	if err != nil {
		return newsTooLong
	}
	if !u.pace.Allow(subject, now) {
		return newsWithheld
	}
	if err := u.gossip.tell(payload); err != nil {
		level.Warn(u.logger).Log("msg", "urgent news does not go out by gossip", "check", r.Check, "subject", r.Subject, "err", err)
		return newsFailed
	}
	return newsSent
}

// hear takes in what the gossip brings.
func (u *urgent) hear(payload []byte) {
	item, err := news.Decode(payload)
	switch {
	case err != nil:
		u.count(newsGarbage)
	case item.Node != u.cfg.Node:
		u.count(u.judge(item, u.cfg.Now()))
	}
}

// judge puts up an item if it is its node's own word and newer than what is
// held of it, and returns what became of it.
func (u *urgent) judge(item *news.Signed, now time.Time) (outcome string) {
	if !u.board.Admit(now) {
		return news.Flood
	}
	held, identity, ok := u.store.Node(item.Node)
	if !ok {
		return newsUnknown
	}
	key, err := u.trust.Key(item.Node, identity)
	if err != nil {
		return newsUnknown
	}
	if !item.Verify(u.cfg.Cluster, key) {
		return newsForged
	}
	// The identity is made anew at each start, so both uptimes are of one life
	// of the node. Their difference puts the item on our clock, however long
	// the gossip took: old news that comes late does not look fresh.
	made := held.Made.Add(item.Uptime - held.Uptime)
	if made.After(now) {
		made = now
	}
	if !item.Version.Newer(held.Version) || now.Sub(made) > u.cfg.StaleAfter {
		return newsOld
	}
	outcome = u.board.Post(item.Item, made, now)
	if outcome == news.Shown {
		u.heard(item, now.Sub(made))
	}
	return outcome
}

// heard counts and logs what is news here.
func (u *urgent) heard(item *news.Signed, age time.Duration) {
	u.mu.Lock()
	u.pace.Heard(u.cfg.Now())
	u.mu.Unlock()
	if u.observer.quiet.due("news of " + item.Node) {
		level.Info(u.logger).Log("msg", "urgent news", "node", item.Node, "check", item.Check, "subject", item.Subject,
			"status", item.Status, "reason", item.Reason, "age", age.Round(time.Millisecond))
	}
}

// noSeries is the schema of a node of which nothing is known but news.
var noSeries = &health.Schema{}

// shownIn returns what is to be shown of a node: snapshot, which may be nil,
// with the verdicts in place that news has told since the frame held.
func (u *urgent) shownIn(snapshot *health.Snapshot, held state.Held, now time.Time) *health.Snapshot {
	verdicts := u.board.Standing(held.Name, held.Version, now, u.cfg.StaleAfter)
	if len(verdicts) == 0 {
		return snapshot
	}
	if snapshot == nil {
		return &health.Snapshot{Node: held.Name, Schema: noSeries, Results: verdicts}
	}
	told := *snapshot
	told.Results = news.Overlay(snapshot.Results, verdicts)
	return &told
}

// sweep forgets what nodes have told that are not held any more.
func (u *urgent) sweep() {
	u.board.Keep(func(node string) bool {
		_, _, known := u.store.Node(node)
		return known
	})
}

func (u *urgent) count(outcome string) { u.observer.told.WithLabelValues(outcome).Inc() }
