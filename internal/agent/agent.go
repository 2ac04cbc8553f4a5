// Package agent wires everything together and owns its life: it checks all
// that was given, opens the ports, runs checks, mesh and web until it is told
// to stop, and says goodbye. It is the one package that knows all others.
package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-kit/log/level"
	promcollectors "github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"
	"golang.org/x/sync/errgroup"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/internal/config"
	"github.com/grapevine-mesh/grapevine/internal/echo"
	"github.com/grapevine-mesh/grapevine/internal/exposition"
	"github.com/grapevine-mesh/grapevine/internal/schedule"
	"github.com/grapevine-mesh/grapevine/internal/web"
	"github.com/grapevine-mesh/grapevine/mesh"
)

// Agent is one node's Grapevine.
type Agent struct {
	cfg      Config
	lock     *os.File // held on the storage path until Run ends
	registry *registry
	facts    *collectors.NodeFacts
	schedule *schedule.Schedule
	mesh     *mesh.Mesh
	echo     *echo.Responder
	renderer *exposition.Renderer
	reloads  reloadMetrics

	listener net.Listener // of the web interface; nil before Listen
	listened time.Time

	hangups chan os.Signal // SIGHUPs, caught as soon as the agent is ready

	settings  atomic.Pointer[config.Config] // in force
	reloading sync.Mutex                    // one reload at a time, which may hang with a disk; guards what follows
	off       []absent                      // checks whose subject is not on this node
}

// New checks everything that was given and reads every file. It opens no port
// and starts nothing. An error is one line for each thing that is wrong, and
// names the flag or the file.
func New(cfg Config) (_ *Agent, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := web.CheckConfig(cfg.WebConfigFile); err != nil {
		return nil, fmt.Errorf("--web.config.file: %w", err)
	}
	meshConfig, err := cfg.mesh()
	if err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, registry: newRegistry(), hangups: make(chan os.Signal, 1)}
	found, err := a.readChecks()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			found.close(cfg.Logger)
		}
	}()
	if a.lock, err = lockStorage(cfg.StoragePath); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = a.lock.Close()
		}
	}()
	meshConfig.Registry = a.registry
	if a.mesh, err = mesh.New(meshConfig); err != nil {
		return nil, err
	}
	a.echo = echo.NewResponder(echo.Config{Node: cfg.Node, Keys: a.echoKeys, Logger: cfg.Logger, Registry: a.registry})
	var names []string
	for _, spec := range Specs() {
		names = append(names, spec.Name)
	}
	a.schedule = schedule.New(schedule.Config{Known: names, Logger: cfg.Logger, StartedUntil: cfg.startedUntil()})
	a.renderer = exposition.New(a.registry)
	a.facts = collectors.NewFacts(cfg.Paths, cfg.Version)
	a.reloads = newReloadMetrics(a.registry)
	a.registry.MustRegister(
		promcollectors.NewGoCollector(), promcollectors.NewProcessCollector(promcollectors.ProcessCollectorOpts{}),
		version.NewCollector("grapevine"), a.facts, a.schedule,
	)
	a.install(found)
	return a, nil
}

// Listen opens every port. An error names the flag, and leaves none open.
func (a *Agent) Listen() error {
	l, err := net.Listen("tcp", a.cfg.WebListen)
	if err != nil {
		a.abandon()
		return fmt.Errorf("--web.listen-address: %w", err)
	}
	if err := a.echo.Listen(a.cfg.EchoListen); err != nil {
		_ = l.Close() // nobody has connected yet
		a.abandon()
		return fmt.Errorf("--echo.listen-address: %w", err)
	}
	if err := a.mesh.Listen(l.Addr().String()); err != nil {
		_ = l.Close() // nobody has connected yet
		a.echo.Close()
		a.abandon()
		return err
	}
	a.listener, a.listened = l, time.Now()
	return nil
}

// abandon gives up what New took, when there will be no Run.
func (a *Agent) abandon() {
	a.schedule.Replace(nil)
	_ = a.lock.Close() // the lock is gone either way
}

// WebAddr is host:port of the web interface as bound by Listen.
func (a *Agent) WebAddr() string { return a.listener.Addr().String() }

// GossipAddr is host:port of the gossip as bound by Listen.
func (a *Agent) GossipAddr() string { return a.mesh.GossipAddr() }

// stopTimeout bounds the end of everything, whatever hangs.
const stopTimeout = 4800 * time.Millisecond

// Run does the work until ctx ends, and then takes five seconds at most to
// say goodbye. Listen comes first.
func (a *Agent) Run(ctx context.Context) error {
	defer a.lock.Close()
	level.Info(a.cfg.Logger).Log("msg", "listening", "node", a.cfg.Node, "version", a.cfg.Version,
		"web", a.listener.Addr(), "gossip", a.mesh.GossipAddr(), "exchange", a.mesh.ExchangeAddr(), "echo", a.echo.Addr())
	a.cfg.warn()
	a.logOff()
	// From READY on systemd may send SIGHUP, which must not end the process.
	signal.Notify(a.hangups, syscall.SIGHUP)
	defer signal.Stop(a.hangups)

	pipes := a.mesh.Pipes()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := a.schedule.Run(ctx); err != nil { // a check that hangs is no failure of ours
			level.Warn(a.cfg.Logger).Log("msg", "stopping", "err", err)
		}
		return nil
	})
	group.Go(func() error { return a.mesh.Run(ctx) })
	group.Go(func() error { return a.echo.Run(ctx) })
	group.Go(func() error {
		return web.Serve(ctx, a.listener, web.New(a.webConfig()), a.cfg.WebConfigFile, a.cfg.Logger)
	})
	group.Go(func() error { return web.ServePeers(ctx, pipes, web.NewForPeers(a.webConfig()), a.cfg.Logger) })
	group.Go(func() error { a.publish(ctx); return nil })
	group.Go(func() error { a.followSignals(ctx); return nil })
	group.Go(func() error { a.rediscover(ctx); return nil })
	group.Go(func() error { a.serveControl(ctx); return nil })
	notify(systemdReady)

	ended := make(chan error, 1)
	go func() { ended <- group.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	level.Info(a.cfg.Logger).Log("msg", "stopping")
	notify(systemdStopping)
	select {
	case err := <-ended:
		return err
	case <-time.After(stopTimeout):
		return fmt.Errorf("stopping took more than %v; left the rest behind", stopTimeout)
	}
}

func (a *Agent) webConfig() web.Config {
	return web.Config{
		Node: a.cfg.Node, Version: a.cfg.Version, View: a.mesh.View, Holders: a.mesh, Local: a.registry, Renderer: a.renderer,
		MaxRequests: a.cfg.WebMaxRequests, Timestamps: a.cfg.WebTimestamps, Ready: a.ready, Reload: a.Reload, Logger: a.cfg.Logger, Registry: a.registry,
	}
}

// firstWords is how long a check may take before the agent calls itself ready
// without it: a check that hangs must not hold up a roll-out.
const firstWords = 10 * time.Second

func (a *Agent) ready() error {
	if a.schedule.FirstRound() || time.Since(a.listened) > firstWords {
		return nil
	}
	return errors.New("the first round of checks is under way")
}

// followSignals reloads on SIGHUP until ctx ends.
func (a *Agent) followSignals(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.hangups:
			_ = a.Reload() // it has logged why
		}
	}
}

// Reload reads the configuration file, the keys and the certificates again and
// looks anew what is on this node. When anything is wrong, the old checks go on.
func (a *Agent) Reload() error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	notify(systemdReloading())
	defer notify(systemdReady)
	// The keys first: they do not wait for a mistake elsewhere to be mended.
	keysErr := a.reloadKeys()
	found, err := a.readChecks()
	if err != nil {
		err = errors.Join(err, keysErr)
		a.reloads.done(err)
		level.Error(a.cfg.Logger).Log("msg", "reload refused, the old configuration stays in force", "err", err)
		return err
	}
	a.facts.Refresh()
	a.install(found)
	a.logOff()
	level.Info(a.cfg.Logger).Log("msg", "configuration reloaded", "file", a.cfg.ConfigFile, "checks", len(found.checks))
	if keysErr != nil {
		a.reloads.done(keysErr)
		level.Error(a.cfg.Logger).Log("msg", "the keys of the mesh were not reloaded, the old ones stay in force", "err", keysErr)
	}
	return keysErr
}

// install makes what was built the checks that are run. It needs a.reloading,
// but in New.
func (a *Agent) install(b built) {
	a.schedule.Replace(b.checks)
	a.registry.keep(b.names())
	a.settings.Store(b.settings)
	a.off = b.off
	a.reloads.done(nil)
}

func (a *Agent) logOff() {
	for _, off := range a.off {
		level.Info(a.cfg.Logger).Log("msg", "check is off", "check", off.name, "reason", off.reason)
	}
}
