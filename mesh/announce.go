package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Announcement is what a node tells all others of itself by gossip, and what
// they still know of it when it is away.
type Announcement struct {
	Echo        string       // host:port of its echo responder; empty: it has none
	Overlay     []netip.Addr // its own addresses in the pod network, two at most
	Maintenance string       // why it is expected to be in a bad way; empty: it is not
}

// Bounds that keep an announcement within the bytes of a member's tags.
const (
	maxOverlay     = 2
	maxMaintenance = 32 // bytes
)

// Announce tells a to the others. It may be called again when something has
// changed, after Listen; it waits a second at most.
func (m *Mesh) Announce(a Announcement) error {
	tags := m.gossip.tags()
	set := func(tag, value string) {
		if delete(tags, tag); value != "" {
			tags[tag] = value
		}
	}
	set(tagEcho, reachable(a.Echo))
	set(tagMaintenance, a.Maintenance[:min(len(a.Maintenance), maxMaintenance)])
	var overlay []string
	for _, addr := range a.Overlay[:min(len(a.Overlay), maxOverlay)] {
		overlay = append(overlay, addr.String())
	}
	set(tagOverlay, strings.Join(overlay, ","))
	if err := m.gossip.retag(tags); err != nil {
		return fmt.Errorf("announcing: %w", err)
	}
	return nil
}

// announcement reads what the tags of a member on host say. A value that is
// none is left out: a member may be newer, or lie.
func announcement(tags map[string]string, host string) Announcement {
	a := Announcement{Maintenance: printable(tags[tagMaintenance][:min(len(tags[tagMaintenance]), maxMaintenance)])}
	if echo := dialable(tags[tagEcho], host); echo != "" {
		if _, err := netip.ParseAddrPort(echo); err == nil {
			a.Echo = echo
		}
	}
	for text := range strings.SplitSeq(tags[tagOverlay], ",") {
		addr, err := netip.ParseAddr(text)
		if err == nil && addr.IsGlobalUnicast() && len(a.Overlay) < maxOverlay && !slices.Contains(a.Overlay, addr) {
			a.Overlay = append(a.Overlay, addr)
		}
	}
	return a
}
