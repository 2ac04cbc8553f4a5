package mesh

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/grapevine-mesh/grapevine/mesh/meshtest"
)

// bubble is a test whose peers live in virtual time, each on a host of its own
// of a network in memory: however busy the machine is, none of their timers is
// late. Like any test, but Run and Parallel, which cannot be called in there.
type bubble struct {
	testing.TB
	network *meshtest.Network
	hosts   byte // so far
}

// virtually runs a test in virtual time, beside others.
func virtually(t *testing.T, test func(t *bubble)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(5 * time.Minute) }) // after the peers' end: what serf leaves behind runs out
		test(&bubble{TB: t, network: meshtest.New(1)})
	})
}

// glance is by how much an age may be amiss in there: verdicts and leaves tell
// theirs in tenths of a second, and eventually looks twenty times a second.
const glance = 200 * time.Millisecond

// host starts one more machine.
func (b *bubble) host() *meshtest.Host {
	b.hosts++
	return b.network.Host(netip.AddrFrom4([4]byte{10, 0, 0, b.hosts}))
}

// port opens one to send packets from.
func (b *bubble) port(from *meshtest.Host) memberlist.Transport {
	b.Helper()
	t, err := from.Gossip(from.Addr().String() + ":0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = t.Shutdown() })
	return t
}

// config is that of a peer on a host of its own.
func (b *bubble) config(name string) Config {
	host := b.host()
	cfg := testConfig(b, name)
	cfg.Network = host
	cfg.Bind, cfg.Exchange = netip.AddrPortFrom(host.Addr(), gossipPort).String(), netip.AddrPortFrom(host.Addr(), 7997).String()
	return cfg
}

// together starts peers that join the first, and waits until all see each other.
func together(t *bubble, names ...string) (peers []*peer) {
	t.Helper()
	for _, name := range names {
		cfg := t.config(name)
		if len(peers) > 0 {
			cfg.Join = []string{peers[0].GossipAddr()}
		}
		peers = append(peers, start(t, cfg))
	}
	for _, p := range peers {
		p.sees(names...)
	}
	return peers
}
