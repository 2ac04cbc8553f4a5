package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// gossip is the membership, and the only place that knows serf.
type gossip struct {
	self, cluster string
	refused       func(reason string, err error)
	left          func(name string)
	now           func() time.Time
	changed       func(map[string]Member)
	heard         func(news []byte)
	asked         func(*serf.Query) // must not wait

	serf    *serf.Serf
	addr    string   // host:port as others reach it; memberlist's own is not safe to read later
	packets *inbound // from whom packets come
	streams *fewStreams
	events  chan serf.Event

	leaving goodbyes
	joining chan struct{} // one token: serf joins one at a time, others wait here
	most    int           // members

	mu       sync.RWMutex // guards all below
	members  map[string]Member
	admitted map[string]bool // since members was made anew
}

// The tags of a member. All of them together may take 512 bytes.
const (
	tagCluster     = "cluster"
	tagExchange    = "x" // host:port, or port on the gossip's host
	tagWeb         = "web"
	tagVersion     = "version"
	tagFingerprint = "id"
	tagEcho        = "echo" // host:port, or port on the gossip's host
	tagOverlay     = "o"    // addresses with commas between
	tagMaintenance = "m"
	tagPrefix      = "t." // before the operator's own
)

// gossipConfig is what the membership needs to start.
type gossipConfig struct {
	Config
	exchangeAddr string // as bound
	webAddr      string // as bound; empty: none
	fingerprint  string
	logs         io.Writer
	refused      func(reason string, err error)
	left         func(name string)       // called when a member has said goodbye
	changed      func(map[string]Member) // called with all members when something may have changed
	heard        func(news []byte)       // called with what was told, by this node too; it must not take long
	asked        func(*serf.Query)       // called with each query about keys
	keyring      *memberlist.Keyring     // nil: not encrypted
}

// listenGossip opens the gossip port and starts serf. Nobody is joined yet.
func listenGossip(cfg gossipConfig) (*gossip, error) {
	host, port, err := splitHostPort(cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("--mesh.bind: %w", err)
	}
	if ip := net.ParseIP(host); ip.IsUnspecified() && ip.To4() == nil && cfg.Advertise == "" {
		return nil, fmt.Errorf("--mesh.bind: %s is every IPv6 address: say by --mesh.advertise which one others reach", cfg.Bind)
	}
	m := memberlist.DefaultLANConfig()
	m.Name, m.BindAddr, m.BindPort = cfg.Node, host, port
	m.LogOutput, m.TCPTimeout = cfg.logs, 3*time.Second
	m.AdvertisePort = port
	if cfg.Advertise != "" {
		if m.AdvertiseAddr, m.AdvertisePort, err = advertised(cfg.Advertise, port); err != nil {
			return nil, fmt.Errorf("--mesh.advertise: %w", err)
		}
	}
	m.Keyring = cfg.keyring
	packets := &inbound{now: cfg.Now}
	transport, err := cfg.packets(m, packets)
	if err != nil {
		return nil, fmt.Errorf("--mesh.bind: %w", err)
	}
	streams := boundStreams(transport, cfg.refused)
	m.Transport = streams

	g := &gossip{
		self: cfg.Node, cluster: cfg.Cluster, refused: cfg.refused, left: cfg.left, now: cfg.Now, changed: cfg.changed, heard: cfg.heard, asked: cfg.asked,
		packets: packets, streams: streams, joining: make(chan struct{}, 1), events: make(chan serf.Event, 1024),
		most: cfg.Limits.Members, members: map[string]Member{}, admitted: map[string]bool{},
	}
	s := serf.DefaultConfig()
	s.NodeName, s.MemberlistConfig, s.LogOutput = cfg.Node, m, cfg.logs
	s.EventCh, s.Merge = g.events, g
	s.ReconnectTimeout, s.TombstoneTimeout = cfg.ForgetAfter, min(cfg.ForgetAfter, time.Hour)
	s.BroadcastTimeout, s.LeavePropagateDelay = time.Second, time.Second
	// By majority vote the loser of a name would be shut down: a stranger
	// could silence a node by taking its name. We count, and go on.
	s.EnableNameConflictResolution = false
	s.ValidateNodeNames = false // Kubernetes node names have dots
	s.DisableCoordinates = true
	s.Tags = map[string]string{
		tagCluster: cfg.Cluster, tagExchange: reachable(cfg.exchangeAddr), tagVersion: cfg.Version, tagFingerprint: cfg.fingerprint,
	}
	if cfg.webAddr != "" {
		s.Tags[tagWeb] = reachable(cfg.webAddr)
	}
	for k, v := range cfg.Tags {
		s.Tags[tagPrefix+k] = v
	}
	s.Init()
	if g.serf, err = serf.Create(s); err != nil {
		return nil, errors.Join(fmt.Errorf("--mesh.bind: %w", err), transport.Shutdown())
	}
	local := g.serf.Memberlist().LocalNode()
	g.addr = net.JoinHostPort(local.Addr.String(), strconv.Itoa(int(local.Port)))
	g.refresh()
	return g, nil
}

// packets opens the port of m, and notes in heard who sends to it.
func (cfg *gossipConfig) packets(m *memberlist.Config, heard *inbound) (memberlist.Transport, error) {
	given, err := cfg.Network.Gossip(cfg.Bind)
	if err != nil {
		return nil, err
	}
	if given != nil {
		return heard.noted(given), nil
	}
	own, err := listenPackets(m.BindAddr, m.BindPort, cfg.logs)
	if err != nil {
		return nil, err
	}
	m.BindPort = own.GetAutoBindPort()
	if m.AdvertisePort == 0 {
		m.AdvertisePort = m.BindPort
	}
	return heard.noted(own), nil
}

// watch follows the membership until ctx ends.
func (g *gossip) watch(ctx context.Context) {
	// Events can be lost behind serf's back; the list itself cannot.
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-g.events:
			changed := g.take(event)
			for len(g.events) > 0 { // a join storm is one refresh, not one for each
				changed = g.take(<-g.events) || changed
			}
			if changed {
				g.refresh()
			}
		case <-tick.C:
			g.refresh()
		}
	}
}

// take passes on who has said goodbye, what was told and what is asked, and
// reports whether the members may have changed.
func (g *gossip) take(event serf.Event) (changed bool) {
	switch e := event.(type) {
	case serf.UserEvent:
		if e.Name == newsEvent {
			g.heard(e.Payload)
		}
		return false
	case serf.MemberEvent:
		if e.EventType() == serf.EventMemberLeave {
			for _, m := range e.Members {
				if !g.leaving.stuck(m.Name, g.now()) {
					g.left(m.Name)
				}
			}
		}
	case *serf.Query:
		if e.Name == keyQuery {
			g.asked(e)
		}
		return false
	}
	return true
}

// newsEvent is the name of the event that urgent news travels as.
const newsEvent = "news"

// tell passes news to everybody, within seconds, by the gossip alone.
func (g *gossip) tell(news []byte) error { return g.serf.UserEvent(newsEvent, news, false) }

// ask sends a query to all members. The channel is closed when their time to
// answer is up.
func (g *gossip) ask(name string, payload []byte) (<-chan serf.NodeResponse, error) {
	params := g.serf.DefaultQueryParams()
	params.RelayFactor = 2 // an answer is one packet: let it take other ways, too
	response, err := g.serf.Query(name, payload, params)
	if err != nil {
		return nil, err
	}
	return response.ResponseCh(), nil
}

// tags are this node's own, as last announced.
func (g *gossip) tags() map[string]string { return maps.Clone(g.serf.LocalMember().Tags) }

// retag announces tags in place of the old ones, if they differ.
func (g *gossip) retag(tags map[string]string) error {
	if maps.Equal(tags, g.serf.LocalMember().Tags) {
		return nil
	}
	return g.serf.SetTags(tags)
}

// join tries one address.
func (g *gossip) join(address string) error {
	g.joining <- struct{}{}
	defer func() { <-g.joining }()
	n, err := g.serf.Join([]string{address}, true)
	if n == 0 && err == nil {
		err = errors.New("nobody answered")
	}
	return err
}

// ping asks a member for a sign of life, directly. It takes half a second at
// most.
func (g *gossip) ping(name string, address netip.AddrPort) error {
	_, err := g.serf.Memberlist().Ping(name, net.UDPAddrFromAddrPort(address))
	return err
}

// leave says goodbye, so that the others forget this node at once, and closes.
func (g *gossip) leave() error {
	return errors.Join(g.serf.Leave(), g.serf.Shutdown())
}
