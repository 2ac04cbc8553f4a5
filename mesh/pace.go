package mesh

import (
	"time"

	"github.com/grapevine-mesh/grapevine/mesh/reach"
)

// A frame every PublishInterval is cheap among hundreds. Above fullPace
// members the interval grows with their number, so that what a node receives
// stays as it is, up to slowest times PublishInterval.
const (
	fullPace = 300
	slowest  = 3
)

// Pace is how often Publish is to be called: what each frame promises to the
// others, who tell by it when a node has fallen silent. It leaves room for two
// frames to be missed before StaleAfter.
func (m *Mesh) Pace() time.Duration {
	return m.paceAmong(m.gossip.alive() + 1)
}

func (m *Mesh) paceAmong(members int) time.Duration {
	return min(pace(m.cfg.PublishInterval, members), (m.cfg.StaleAfter-reach.Slack)/3)
}

func pace(interval time.Duration, members int) time.Duration {
	return interval * time.Duration(min(max(members, fullPace), slowest*fullPace)) / fullPace
}
