package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/grapevine-mesh/grapevine/health"
)

// minPublish keeps a flapping verdict from publishing all the time.
const minPublish = time.Second

// publish makes a snapshot of this node at the mesh's pace, and at once when a
// verdict or the way to another node has changed, until ctx ends.
func (a *Agent) publish(ctx context.Context) {
	var trouble lastWord
	for {
		next := time.After(a.mesh.Pace())
		trouble.log(level.Error(a.cfg.Logger), a.publishOnce())
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
		case <-next:
		case <-a.schedule.Changed():
		case <-a.mesh.Changed():
		}
	}
}

func (a *Agent) publishOnce() error {
	families, err := a.registry.Gather()
	if err != nil { // of one collector; the others' families are there
		err = fmt.Errorf("gathering this node's metrics: %w", err)
	}
	schema, values := health.FromFamilies(a.cfg.Version, "node", families)
	snapshot := health.Snapshot{Node: a.cfg.Node, Schema: schema, Values: values, Results: a.schedule.Results()}
	// First why a verdict is as it is: others may see it by that light.
	return errors.Join(err, a.announce(), a.mesh.Publish(snapshot))
}

// lastWord keeps a trouble that lasts from filling the log.
type lastWord struct{ said string }

func (l *lastWord) log(logger log.Logger, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != l.said {
		_ = logger.Log("msg", "this node's word does not reach the others in full", "err", err)
	}
	l.said = text
}
