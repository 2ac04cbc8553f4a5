package collectors

import (
	"context"
	"net/netip"
	"sync"
	"time"

	probing "github.com/prometheus-community/pro-bing"
)

// pingGap is the time between two ICMP requests to one peer.
const pingGap = 100 * time.Millisecond

// pings sends ICMP echo requests, in the way the kernel allows.
type pings struct {
	count int

	mu      sync.Mutex // guards all below
	raw     bool       // the sockets for everybody are closed to this user
	refused bool       // so are raw ones
}

// pinged is what came of some ICMP requests.
type pinged struct {
	sent  int // 0: they are not allowed
	trips []time.Duration
}

// ask pings addr and waits until all is answered, or for patience after the
// last request.
func (p *pings) ask(ctx context.Context, addr netip.Addr, patience time.Duration) pinged {
	for _, raw := range p.ways() {
		got, opened := p.send(ctx, addr, raw, patience)
		p.note(raw, !opened)
		if opened {
			return got
		}
	}
	return pinged{}
}

// ways are the kinds of socket to try: the one for everybody
// (net.ipv4.ping_group_range), then the one that needs CAP_NET_RAW. A refusal
// is asked about again in each run: sysctls change.
func (p *pings) ways() []bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.raw && !p.refused {
		return []bool{true}
	}
	return []bool{false, true}
}

func (p *pings) note(raw, refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raw, p.refused = raw, refused
}

func (p *pings) allowed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.refused
}

// send reports whether the kernel gave it a socket. Only for an address that
// there is a route to: pro-bing tries for ever when the kernel prohibits it.
func (p *pings) send(ctx context.Context, addr netip.Addr, raw bool, patience time.Duration) (got pinged, opened bool) {
	one := probing.New(addr.String())
	one.SetPrivileged(raw)
	one.SetLogger(probing.NoopLogger{})
	one.Count, one.Interval = p.count, pingGap
	one.Timeout = time.Duration(p.count)*pingGap + patience
	one.OnSetup = func() { opened = true }
	// What went wrong later shows as requests without an answer.
	_ = one.RunWithContext(ctx)
	s := one.Statistics()
	return pinged{sent: s.PacketsSent, trips: s.Rtts}, opened
}
