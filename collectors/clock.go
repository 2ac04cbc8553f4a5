package collectors

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/internal/echo"
)

// What the clock check exports.
var (
	clockPeerSuccess = Metric{
		Name: "grapevine_clock_peer_success", Type: health.Gauge, Labels: []string{"peer"},
		Help: "Whether the peer told its time in the last run.",
	}
	clockPeerOffset = Metric{
		Name: "grapevine_clock_peer_offset_seconds", Type: health.Gauge, Labels: []string{"peer"},
		Help: "The peer's clock minus this node's: above 0, the peer is ahead.",
	}
	clockPeerError = Metric{
		Name: "grapevine_clock_peer_offset_error_seconds", Type: health.Gauge, Labels: []string{"peer"},
		Help: "How far the offset may be off the truth: half the round trip.",
	}
	clockOffset = Metric{
		Name: "grapevine_clock_offset_seconds", Type: health.Gauge,
		Help: "This node's clock minus the median of its peers': above 0, this node is ahead.",
	}
	clockOffsetError = Metric{
		Name: "grapevine_clock_offset_error_seconds", Type: health.Gauge,
		Help: "How far grapevine_clock_offset_seconds may be off the truth.",
	}
	clockKernelSuccess = Metric{
		Name: "grapevine_clock_kernel_success", Type: health.Gauge,
		Help: "Whether the kernel told the state of its clock (adjtimex).",
	}
	clockKernelSynchronized = Metric{
		Name: "grapevine_clock_kernel_synchronized", Type: health.Gauge,
		Help: "Whether a time service keeps the kernel's clock synchronized.",
	}
	clockKernelOffset = Metric{
		Name: "grapevine_clock_kernel_offset_seconds", Type: health.Gauge,
		Help: "What the kernel still has to correct its clock by.",
	}
	clockKernelMaximumError = Metric{
		Name: "grapevine_clock_kernel_maximum_error_seconds", Type: health.Gauge,
		Help: "Largest error that the kernel thinks its clock may have.",
	}
	clockKernelEstimatedError = Metric{
		Name: "grapevine_clock_kernel_estimated_error_seconds", Type: health.Gauge,
		Help: "Error that the kernel estimates its clock to have.",
	}
)

// The subjects of the clock check.
const (
	clockSubjectKernel = "kernel"
	clockSubjectPeers  = "peers"
)

func clockSpec() Spec {
	return Spec{
		Name:    "clock",
		Summary: "offset of this node's clock from those of other nodes, and whether a time service keeps it synchronized",
		Why:     "Nodes whose clocks differ refuse each other's certificates and tokens, misjudge leases, and write logs that cannot be put in order.",
		Remedy:  "Confirm with chronyc tracking, or timedatectl and ntpq -p, on that node. Start its time service, let it reach its servers (UDP port 123), and have it step the clock once when the offset is large.",
		Subject: "peers (against other nodes' clocks) or kernel (the time service)",
		Metrics: []Metric{
			clockPeerSuccess, clockPeerOffset, clockPeerError, clockOffset, clockOffsetError,
			clockKernelSuccess, clockKernelSynchronized, clockKernelOffset, clockKernelMaximumError, clockKernelEstimatedError,
		},
		Settings: func() Settings { return defaultClockSettings() },
	}
}

// clockGap is the time between two requests of a burst: apart enough that
// they do not wait for each other.
const clockGap = 20 * time.Millisecond

// clockFurthest bounds what a peer may claim, so that sums of it fit.
const clockFurthest = 100 * 365 * 24 * time.Hour

// clockCheck compares this node's clock with others.
type clockCheck struct {
	settings clockSettings
	node     string
	peers    func() []Peer
	prober   echo.Prober
	kernel   func() (kernelClock, error)
}

// New is content without a mesh, which knows the other nodes: the kernel can
// always be asked.
func (s *clockSettings) New(env Env) (Collector, error) {
	c := &clockCheck{
		settings: *s, node: env.Node, peers: env.Peers, kernel: readKernelClock,
		prober: echo.Prober{Node: env.Node, Keys: env.EchoKeys},
	}
	if c.peers == nil {
		c.peers = func() []Peer { return nil }
	}
	return c, nil
}

// Name is the check's name.
func (c *clockCheck) Name() string { return "clock" }

// Collect asks the kernel, and all neighbours at once.
func (c *clockCheck) Collect(ctx context.Context, r *Report) error {
	c.judgeKernel(r)
	var asked []*clockAnswer
	for _, peer := range neighbours(c.node, c.peers(), c.settings.Neighbours) {
		if peer.settled() && len(peer.Host) > 0 {
			asked = append(asked, &clockAnswer{peer: peer.Name, addr: netip.AddrPortFrom(peer.Host[0], peer.Port)})
		}
	}
	if len(asked) == 0 {
		return nil // a cluster of one has nobody to compare with
	}
	var asking parallel
	for _, a := range asked {
		asking.run(func() { c.ask(ctx, a) })
	}
	asking.wait()
	c.judgePeers(r, asked)
	return nil
}

// clockAnswer is what one peer's clock shows.
type clockAnswer struct {
	peer   string
	addr   netip.AddrPort
	err    error         // why there is no answer
	offset time.Duration // the peer's clock minus this node's,
	bound  time.Duration // and how far that may be off the truth
}

// ask takes the answer that was on its way for the shortest time: it leaves
// the least open.
func (c *clockCheck) ask(ctx context.Context, a *clockAnswer) {
	ctx, cancel := context.WithTimeout(ctx, c.settings.AnswerTimeout+time.Duration(c.settings.Packets)*clockGap)
	defer cancel()
	burst, err := c.prober.Burst(ctx, a.addr, c.settings.Packets, clockGap)
	switch {
	case err != nil:
		a.err = err
		return
	case len(burst.Answers) == 0 && burst.Err != nil:
		a.err = burst.Err
		return
	case len(burst.Answers) == 0:
		a.err = context.DeadlineExceeded
		return
	}
	best := slices.MinFunc(burst.Answers, func(x, y echo.Answer) int { return int(x.RTT - y.RTT) })
	a.offset, a.bound = max(-clockFurthest, min(best.Offset, clockFurthest)), best.RTT/2
}

// judgePeers exports and judges what the peers' clocks show.
func (c *clockCheck) judgePeers(r *Report, asked []*clockAnswer) {
	var told []*clockAnswer
	for _, a := range asked {
		r.Sample(&clockPeerSuccess, boolean(a.err == nil), a.peer)
		if a.err == nil {
			told = append(told, a)
			r.Sample(&clockPeerOffset, a.offset.Seconds(), a.peer)
			r.Sample(&clockPeerError, a.bound.Seconds(), a.peer)
		}
	}
	a := &assessment{about: c.node + "'s clock"}
	if len(told) == 0 {
		a.add(health.Unknown, "cannot be compared: none of %s tells its time (%s)", peerNames(asked), c.cause(asked[0].err))
		a.verdict(r, clockSubjectPeers)
		return
	}
	middle := medianClock(told)
	// The other way round than the peers': how far this node is ahead.
	r.Sample(&clockOffset, -middle.offset.Seconds())
	r.Sample(&clockOffsetError, middle.bound.Seconds())

	limits := c.settings.Thresholds.Offset.seconds()
	_, limit := limits.judge(0)
	a.measured = health.Evidence{Value: middle.offset.Abs().Seconds(), Threshold: limit, Unit: "seconds"}
	if len(told) == 1 {
		limits.Critical = 0 // which of the two is wrong nobody knows
		a.hold(middle.certain(), limits, "seconds", "is %s that of %s, the only peer that tells its time: which of them is wrong cannot be told", middle.apart(true), told[0].peer)
	} else {
		a.hold(middle.certain(), limits, "seconds", "is %s the median of its peers %s", middle.apart(true), peerNames(told))
	}
	if shifted := c.shifted(told, middle, limits); len(a.findings) == 0 && len(shifted) > 0 {
		// Not this node's fault: their own agents say so, too.
		r.Verdict(clockSubjectPeers, health.OK, clip(fmt.Sprintf("%s agrees with the others, but %s", a.about, strings.Join(shifted, ", ")), maxReason), a.measured)
		return
	}
	a.verdict(r, clockSubjectPeers)
}

// shifted words which peers' clocks are off the median of all.
func (c *clockCheck) shifted(told []*clockAnswer, middle clockAnswer, limits Limits) []string {
	var words []string
	for _, a := range told {
		off := clockAnswer{offset: a.offset - middle.offset, bound: a.bound + middle.bound}
		if status, _ := limits.judge(off.certain()); status != health.OK {
			words = append(words, fmt.Sprintf("%s's clock is %s them", a.peer, off.apart(false)))
		}
	}
	return words
}

func (c *clockCheck) cause(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) && errno == syscall.ECONNREFUSED {
		return "nobody listens on the echo port"
	}
	return cause(err, c.settings.AnswerTimeout)
}

// peerNames lists the first few.
func peerNames(all []*clockAnswer) string {
	var names []string
	for _, a := range all {
		if len(names) == 5 {
			names = append(names, fmt.Sprintf("%d more", len(all)-5))
			break
		}
		names = append(names, clip(a.peer, 60))
	}
	return strings.Join(names, ", ")
}
