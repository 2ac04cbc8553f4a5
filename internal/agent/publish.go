package agent

import (
	"context"
	"time"

	"github.com/go-kit/log/level"

	"github.com/grapevine-mesh/grapevine/health"
)

// minPublish keeps a flapping verdict from publishing all the time.
const minPublish = time.Second

// publish makes a snapshot of this node at every publishInterval, and at once
// when a verdict has changed, until ctx ends.
func (a *Agent) publish(ctx context.Context) {
	tick := time.NewTicker(publishInterval)
	defer tick.Stop()
	for {
		a.publishOnce()
		// This loop gathers from all parts: if it turns, the agent lives.
		notify(systemdWatchdog)
		select {
		case <-ctx.Done():
			return
		case <-time.After(minPublish):
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-a.schedule.Changed():
		}
	}
}

func (a *Agent) publishOnce() {
	families, err := a.registry.Gather()
	if err != nil { // of one collector; the others' families are there
		level.Warn(a.cfg.Logger).Log("msg", "gathering this node's metrics", "err", err)
	}
	schema, values := health.FromFamilies(a.cfg.Version, "node", families)
	snapshot := health.Snapshot{Node: a.cfg.Node, Schema: schema, Values: values, Results: a.schedule.Results()}
	if err := a.mesh.Publish(snapshot); err != nil {
		level.Error(a.cfg.Logger).Log("msg", "this node's word does not reach the others", "err", err)
	}
}
