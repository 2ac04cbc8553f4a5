// Package mesh spreads each node's snapshots to every other node and gives a
// View of the whole cluster. Serf tells who is there; frames travel over
// mutual TLS. Only this package knows serf.
package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"golang.org/x/sync/errgroup"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/mesh/exchange"
	"github.com/grapevine-mesh/grapevine/mesh/frame"
	"github.com/grapevine-mesh/grapevine/mesh/spread"
	"github.com/grapevine-mesh/grapevine/mesh/state"
)

// Mesh is this node's part in the cluster.
type Mesh struct {
	cfg      Config
	logger   log.Logger
	storage  *storage
	memory   memory // as recalled; the keeper goroutine goes on from it
	trust    *trust
	keyring  *keyService
	store    *state.Store
	exchange *exchange.Exchange
	spread   *spread.Spread
	observer *observer
	urgent   *urgent
	roles    *roles
	leaf     *leaf

	listener net.Listener // of the exchange; nil before Listen
	gossip   *gossip      // nil before Listen
	reach    *reacher

	behind  chan string // a peer whose frame came without its schema: ask it at once
	renewal renewal

	asking sync.Mutex // one request about keys at a time; guards asked
	asked  uint64     // requests about keys so far

	newEpochs chan struct{} // a new epoch is to be remembered
}

// New checks cfg and reads what an earlier run left in StoragePath. It opens
// no port and starts nothing.
func New(cfg Config) (*Mesh, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Network == nil {
		cfg.Network = &hostNetwork{net.Dialer{Control: giveUp}}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	st, err := openStorage(cfg.StoragePath, cfg.Logger)
	if err != nil {
		return nil, err
	}
	memory, err := st.recall(cfg.Cluster, cfg.Node)
	if err != nil {
		return nil, err
	}
	id, err := newIdentity(cfg.Cluster, cfg.Node, cfg.TLS, st)
	if err != nil {
		return nil, err
	}
	m := &Mesh{
		cfg: cfg, logger: cfg.Logger, storage: st, memory: memory,
		behind: make(chan string, maxRounds), newEpochs: make(chan struct{}, 1),
	}
	m.observer = newObserver(cfg.Logger, cfg.Registry)
	keys, err := newKeyring(cfg.Cluster, cfg.GossipKeys, st, cfg.Logger, m.observer.refusedMember)
	if err != nil {
		return nil, err
	}
	m.trust = newTrust(cfg.Cluster, id, func(name string) (Member, bool) { return m.gossip.member(name) })
	m.store = state.New(state.Config{
		Self: cfg.Node, Cluster: cfg.Cluster, Trust: m.trust,
		Limits: cfg.Limits.frame(), Nodes: cfg.Limits.Members,
		Identity: id.encoded, Key: id.frameKey, ForgetAfter: cfg.ForgetAfter, Settle: settle, Now: cfg.Now,
		Start: func(uint64) { signal(m.newEpochs) },
	}, memory.Epoch)
	m.exchange = exchange.New(exchange.Config{
		Node: cfg.Node, Cluster: cfg.Cluster, Store: m.store, Limits: cfg.Limits.frame(),
		Dial: cfg.Network.Dial, TLS: tlsConfig(m.trust.identity.Load), Authenticate: m.trust.authenticate, Observer: m.observer,
		Received: m.received, Address: m.exchangeOf,
	})
	m.roles = &roles{self: cfg.Node, budget: float64(cfg.ByteBudget)}
	m.leaf = newLeaf(m)
	m.spread = spread.New(spread.Config{
		Self: cfg.Node, Store: m.store, Cast: m.cast, Leaf: m.roles.serves, Reachable: m.exchange.Reachable,
	})
	m.urgent = newUrgent(m)
	m.keyring = newKeyService(cfg.Cluster, cfg.Node, keys, m.trust, func(name string) ([]byte, frame.Version) {
		held, identity, _ := m.store.Node(name)
		return identity, held.Version
	})
	m.reach = newReacher(m)
	cfg.Registry.MustRegister(viewCollector{m}, certificateCollector{m.trust})
	return m, nil
}

// signal wakes the receiver of c, who may be awake already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Listen opens the gossip and the exchange port. An error names the flag of
// the port that could not be opened, and leaves none open. web is host:port of
// the web interface as bound, to tell the others; it may be empty.
func (m *Mesh) Listen(web string) error {
	listener, err := m.cfg.Network.Listen(m.cfg.Exchange)
	if err != nil {
		return fmt.Errorf("--mesh.exchange: %w", err)
	}
	m.gossip, err = listenGossip(gossipConfig{
		Config: m.cfg, exchangeAddr: listener.Addr().String(), webAddr: web, fingerprint: m.trust.identity.Load().fingerprint(),
		logs: serfLog{m.logger, newOncePerMinute(), m.observer.refusedMember}, refused: m.observer.refusedMember, left: m.store.Forget,
		changed: m.reshape, heard: m.urgent.hear, asked: m.keyring.asked, keyring: m.keyring.ring,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	m.listener = listener
	return nil
}

// leaveTimeout bounds the goodbye.
const leaveTimeout = 4 * time.Second

var errSlowGoodbye = fmt.Errorf("saying goodbye took more than %v", leaveTimeout)

// Run takes part until ctx ends; then it says goodbye and closes all that
// Listen opened. Unreachable seeds are tried again for as long as it takes.
func (m *Mesh) Run(ctx context.Context) error {
	watchCtx, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	go m.gossip.watch(watchCtx) // until after the goodbye, which is news too

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.exchange.Serve(ctx, m.listener) })
	group.Go(func() error { m.relay(ctx); return nil })
	group.Go(func() error { m.repair(ctx); return nil })
	group.Go(func() error { m.sweep(ctx); return nil })
	group.Go(func() error { m.reach.watch(ctx); return nil })
	// A disk that hangs or a seed that swallows packets must not hold up the
	// goodbye for longer than leaveTimeout.
	var slow errgroup.Group
	slow.Go(func() error { m.keep(ctx); return nil })
	slow.Go(func() error { m.join(ctx); return nil })
	slow.Go(func() error { m.keyring.serve(ctx); return nil })
	slow.Go(func() error { m.followCertificates(ctx); return nil })
	slow.Go(func() error { m.reach.rejoin(ctx); return nil })

	err := group.Wait()
	m.exchange.Close()
	left := make(chan error, 1)
	go func() {
		err := m.gossip.leave()
		_ = slow.Wait()
		left <- err
	}()
	select {
	case leaveErr := <-left:
		return errors.Join(err, leaveErr)
	case <-time.After(leaveTimeout):
		return errors.Join(err, errSlowGoodbye)
	}
}

// Publish makes s the newest word of this node. s.Node is this node's name.
func (m *Mesh) Publish(s health.Snapshot) error {
	if err := m.store.Publish(s, m.Pace()); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	if role, _, _ := m.roles.now(); role == Leaf {
		m.leaf.publish()
	} else {
		m.spread.Publish()
	}
	m.urgent.published(s.Results)
	return nil
}

func (m *Mesh) sweep(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.store.Sweep()
			m.urgent.sweep()
		}
	}
}

// keep remembers the epoch and the peers for the next start.
func (m *Mesh) keep(ctx context.Context) {
	kept := m.memory
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done(): // once more, with whom we knew in the end
		case <-tick.C:
		case <-m.newEpochs:
		}
		next := kept
		next.Epoch = m.store.Epoch()
		next.Peers = m.peers(kept.Peers)
		if next.Epoch == kept.Epoch && slices.Equal(next.Peers, kept.Peers) {
			continue
		}
		if err := m.storage.remember(next); err != nil {
			level.Warn(m.logger).Log("msg", "cannot remember the peers for the next start", "err", err)
			continue
		}
		kept = next
	}
}

// GossipAddr and ExchangeAddr are host:port as others reach them. They are
// known after Listen.
func (m *Mesh) GossipAddr() string { return m.gossip.addr }

// ExchangeAddr is where the exchange is bound.
func (m *Mesh) ExchangeAddr() string { return m.listener.Addr().String() }
