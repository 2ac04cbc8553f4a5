package mesh

import (
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/serf/serf"
)

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

// refresh takes over what serf knows of the members.
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
