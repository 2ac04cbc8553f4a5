package agent

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/health"
)

// rediscoverInterval is how soon a check begins whose subject came to this
// node after the agent: a pod network, a container runtime, a kubelet.
const rediscoverInterval = 30 * time.Second

// rediscover looks for the subjects of checks that are off, until ctx ends.
func (a *Agent) rediscover(ctx context.Context) {
	tick := time.NewTicker(rediscoverInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.rediscoverOnce()
		}
	}
}

func (a *Agent) rediscoverOnce() {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if !slices.ContainsFunc(a.off, a.appeared) {
		return
	}
	found, err := a.buildChecks(a.settings.Load())
	if err != nil {
		level.Warn(a.cfg.Logger).Log("msg", "cannot begin a check whose subject has come to this node", "err", err)
		return
	}
	a.install(found)
}

// appeared tells whether a check that is off could run now.
func (a *Agent) appeared(off absent) bool {
	collector, err := a.settings.Load().Checks[off.name].New(a.env(off.name))
	if err != nil {
		return false
	}
	if closer, ok := collector.(io.Closer); ok {
		_ = closer.Close() // it has asked nobody
	}
	level.Info(a.cfg.Logger).Log("msg", "check begins, its subject has come to this node", "check", off.name)
	return true
}

// env is what a check gets of this node and program.
func (a *Agent) env(check string) collectors.Env {
	return collectors.Env{
		Node: a.cfg.Node, StoragePath: a.cfg.StoragePath, Paths: a.cfg.Paths, Logger: a.cfg.Logger,
		Registry: a.registry.of(check), Peers: a.peers, Mesh: a.meshVerdicts, Verdicts: a.verdicts, EchoKeys: a.echoKeys,
	}
}

// meshVerdicts is what the mesh says of itself. It is called while it runs
// only.
func (a *Agent) meshVerdicts() []health.Result { return a.mesh.Verdicts() }

// verdicts are those of all nodes. It is called while the mesh runs only.
func (a *Agent) verdicts() []collectors.NodeVerdicts {
	view := a.mesh.View()
	all := make([]collectors.NodeVerdicts, len(view.Nodes))
	for i := range view.Nodes {
		n := &view.Nodes[i]
		all[i] = collectors.NodeVerdicts{Node: n.Name, Up: n.Up}
		if n.Snapshot != nil {
			all[i].Results = n.Snapshot.Results
		}
	}
	return all
}
