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
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

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

// splitHostPort reads host:port; an empty host is every address.
func splitHostPort(s string) (string, int, error) {
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is not a number up to 65535", portText)
	}
	if host == "" {
		host = net.IPv4zero.String()
	}
	return host, int(port), nil
}

// advertised reads host[:port] and resolves the host, since gossip carries
// addresses only.
func advertised(s string, bound int) (string, int, error) {
	host, port := s, bound
	if h, p, err := splitHostPort(s); err == nil {
		host, port = h, p
	}
	host = strings.Trim(host, "[]")
	if net.ParseIP(host) != nil {
		return host, port, nil
	}
	addrs, err := net.LookupIP(host)
	if err != nil {
		return "", 0, err
	}
	return addrs[0].String(), port, nil
}

// reachable turns a bound address into what others need: all of it, or, when
// it is bound to every address, the port alone: they know the host.
func reachable(bound string) string {
	host, port, err := net.SplitHostPort(bound)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return port
	}
	return bound
}

func dialable(tag, host string) string {
	if tag == "" || strings.Contains(tag, ":") {
		return tag
	}
	return net.JoinHostPort(host, tag)
}

// NotifyMerge is asked by serf before members are taken in.
func (g *gossip) NotifyMerge(members []*serf.Member) error {
	for _, m := range members {
		if cluster := m.Tags[tagCluster]; cluster != g.cluster {
			err := fmt.Errorf("%.100q at %s belongs to cluster %.100q, not to %q", m.Name, m.Addr, cluster, g.cluster)
			g.refused("cluster", err)
			return err
		}
		if !validNode(m.Name) {
			err := fmt.Errorf("%.200q at %s is no name for a node", m.Name, m.Addr)
			g.refused(reasonMemberName, err)
			return err
		}
		if err := g.admit(m.Name); err != nil {
			g.refused(reasonMembers, err)
			return err
		}
	}
	return nil
}

// Why members are refused, beside "cluster".
const (
	reasonMemberName = "member_name" // no name that a node may have
	reasonMembers    = "members"     // more than Limits.Members
)

// admit counts who is new, and refuses whoever is one too many: whoever holds
// a key of the gossip can invent members.
func (g *gossip) admit(name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.members[name]; known || g.admitted[name] {
		return nil
	}
	if len(g.members)+len(g.admitted) >= g.most {
		return fmt.Errorf("%.100q would be member number %d", name, len(g.members)+len(g.admitted)+1)
	}
	g.admitted[name] = true
	return nil
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

func (g *gossip) refresh() {
	list := g.serf.Members()
	members := make(map[string]Member, len(list))
	now := g.now()
	g.mu.Lock()
	for _, m := range list {
		member := memberOf(m)
		member.State = g.leaving.state(m.Name, member.State, now)
		member.Since = now
		if known, ok := g.members[m.Name]; ok {
			member.Since = known.Since
		}
		members[m.Name] = member
	}
	g.members = members
	maps.DeleteFunc(g.admitted, func(name string, _ bool) bool { _, ok := members[name]; return ok })
	if len(members) < g.most/2 {
		clear(g.admitted) // and those serf has not taken in after all
	}
	g.leaving.keep(members)
	g.mu.Unlock()
	g.changed(members)
}

// printable takes out of what others say what could play tricks on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

func memberOf(m serf.Member) Member {
	host := m.Addr.String()
	member := Member{
		Addr:        net.JoinHostPort(host, strconv.Itoa(int(m.Port))),
		Exchange:    dialable(printable(m.Tags[tagExchange]), host),
		Web:         dialable(printable(m.Tags[tagWeb]), host),
		Version:     printable(m.Tags[tagVersion]),
		fingerprint: m.Tags[tagFingerprint],

		Announcement: announcement(m.Tags, host),
	}
	switch m.Status {
	case serf.StatusAlive:
		member.State = MemberAlive
	case serf.StatusLeaving:
		member.State = MemberLeaving
	case serf.StatusLeft:
		member.State = MemberLeft
	case serf.StatusFailed:
		member.State = MemberFailed
	}
	for k, v := range m.Tags {
		if name, ok := strings.CutPrefix(k, tagPrefix); ok {
			if member.Tags == nil {
				member.Tags = map[string]string{}
			}
			member.Tags[printable(name)] = printable(v)
		}
	}
	return member
}

// all returns every member known, by name.
func (g *gossip) all() map[string]Member {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return maps.Clone(g.members)
}

func (g *gossip) member(name string) (Member, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	m, ok := g.members[name]
	return m, ok
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

// alive counts the living members beside this node.
func (g *gossip) alive() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	n := 0
	for name, m := range g.members {
		if name != g.self && m.State == MemberAlive {
			n++
		}
	}
	return n
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
