package mesh

import (
	"context"
	"time"

	"github.com/go-kit/log/level"
)

// rejoinPause is the least time between two joins of one address.
const rejoinPause = 5 * time.Second

// rejoin joins members that are there although the gossip has given them up,
// or has not told them of us, until ctx ends. Serf itself exchanges its lists
// with one member each half minute.
func (r *reacher) rejoin(ctx context.Context) {
	tried := map[string]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case member := <-r.found:
			for address, when := range tried {
				if r.cfg.Now().Sub(when) > rejoinPause {
					delete(tried, address)
				}
			}
			if _, just := tried[member.Addr]; just {
				continue
			}
			tried[member.Addr] = r.cfg.Now()
			err := r.gossip.join(member.Addr)
			level.Debug(r.logger).Log("msg", "joined a member that is there", "peer", member.Addr, "err", err)
		}
	}
}
