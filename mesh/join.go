package mesh

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-kit/log/level"
)

const (
	// joinAlone is the pace at which a node that knows nobody tries its
	// seeds, joinInCompany at which one that knows somebody looks for more:
	// that is how two halves find each other that have both grown old.
	joinAlone     = 2 * time.Second
	joinInCompany = 30 * time.Second
)

// join looks for others until ctx ends.
func (m *Mesh) join(ctx context.Context) {
	failures := 0
	for {
		if address := m.candidate(); address != "" {
			err := m.gossip.join(withPort(address, m.GossipAddr()))
			m.reach.sought(err == nil)
			switch {
			case err == nil:
				level.Debug(m.logger).Log("msg", "joined", "peer", address)
				failures = 0
			case failures == 0 && m.gossip.alive() == 0:
				level.Warn(m.logger).Log("msg", "nobody to join yet, trying on", "peer", address, "err", err)
				failures++
			default:
				level.Debug(m.logger).Log("msg", "not joined", "peer", address, "err", err)
			}
		}
		wait := joinInCompany
		if m.gossip.alive() == 0 {
			wait = joinAlone
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + time.Duration(rand.Int64N(int64(wait)))/2):
		}
	}
}

// candidate draws an address to join: a seed or a remembered peer that is
// not among the living already. It is empty when there is none.
func (m *Mesh) candidate() string {
	living := map[string]bool{m.GossipAddr(): true}
	for _, member := range m.gossip.all() {
		if member.State == MemberAlive {
			living[member.Addr] = true
		}
	}
	var candidates []string
	for _, address := range slices.Concat(m.cfg.Join, m.memory.Peers) {
		if !living[withPort(address, m.GossipAddr())] {
			candidates = append(candidates, address)
		}
	}
	if len(candidates) == 0 {
		return ""
	}
	return candidates[rand.IntN(len(candidates))]
}

// peers lists the gossip addresses of the others, sorted, for the next start.
// Those known before are kept when nobody is there: an empty room at the
// moment of a crash is no reason to forget everybody.
func (m *Mesh) peers(before []string) []string {
	var peers []string
	for name, member := range m.gossip.all() {
		if name != m.cfg.Node && (member.State == MemberAlive || member.State == MemberFailed) {
			peers = append(peers, member.Addr)
		}
	}
	if len(peers) == 0 {
		return before
	}
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	peers = peers[:min(len(peers), maxPeers)]
	slices.Sort(peers)
	return peers
}
