package collectors

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"github.com/grapevine-mesh/grapevine/health"
)

// reachState is what is known of the way to a peer.
type reachState int

const (
	reached     reachState = iota // packets come and go, however slowly
	unreachable                   // the network does not carry them
	untold                        // it cannot be told, or it is not the network
)

// tally counts peers by state.
type tally [3]int

// mostFail: more than half of the peers, and not just one, are out of reach.
// Then this node is more likely to be the cause than they are.
func (t tally) mostFail() bool {
	return t[unreachable] > 1 && t[unreachable] > t[reached]
}

// judge exports and judges all that was found.
func (c *reach) judge(r *Report, looked []*peerProbes) tally {
	var count tally
	states := make([]reachState, len(looked))
	verdicts := make([]*assessment, len(looked))
	for i, p := range looked {
		verdicts[i] = &assessment{about: c.about(p)}
		states[i] = c.judgePeer(verdicts[i], p)
		count[states[i]]++
		for _, one := range p.probes {
			c.export(r, one)
		}
	}
	for i, p := range looked {
		if states[i] == unreachable && count.mostFail() {
			verdicts[i].doubt("%s reaches only %d of %d peers over %s: see the verdict on %s first", c.node, count[reached], count[reached]+count[unreachable], c.network, c.node)
		}
		verdicts[i].verdict(r, p.peer.Name)
	}
	r.Sample(&c.metrics.peers, float64(count[reached]), "reached")
	r.Sample(&c.metrics.peers, float64(count[unreachable]), "unreachable")
	r.Sample(&c.metrics.peers, float64(count[untold]), "unknown")
	return count
}

// doubt takes back what would page: it stands there, but not for itself.
func (a *assessment) doubt(format string, args ...any) {
	for i := range a.findings {
		a.findings[i].status = health.Unknown
	}
	a.add(health.Unknown, format, args...)
}

// about names both ends with their addresses.
func (c *reach) about(p *peerProbes) string {
	var from, to []string
	for _, one := range p.probes {
		if one.hasRoute() {
			from = append(from, one.from.String())
		}
		to = append(to, one.to.String())
	}
	return fmt.Sprintf("%s to %s over %s:", named(c.node, from), named(p.peer.Name, to), c.network)
}

// maxNamed leaves room in a reason for what is wrong.
const maxNamed = 80

func named(node string, addresses []string) string {
	node = clip(node, maxNamed)
	if len(addresses) == 0 {
		return node
	}
	return node + " (" + strings.Join(addresses, ", ") + ")"
}

// judgePeer judges all addresses of a peer; the state is that of the worst.
func (c *reach) judgePeer(a *assessment, p *peerProbes) reachState {
	if len(p.probes) == 0 {
		a.add(health.Unknown, "%s has told no address there", p.peer.Name)
		return untold
	}
	worst := reached
	for _, one := range p.probes {
		over := ""
		if len(p.probes) > 1 {
			over = "IPv4: "
			if one.to.Is6() {
				over = "IPv6: "
			}
		}
		switch state := c.judgeProbe(a, one, over); {
		case state == unreachable:
			worst = unreachable
		case state == untold && worst == reached:
			worst = untold
		}
	}
	if worst != reached && p.peer.Quiet != "" {
		a.doubt("%s is %s", p.peer.Name, p.peer.Quiet)
		worst = untold
	}
	return worst
}

// judgeProbe judges one address of a peer. over begins what it has to say.
func (c *reach) judgeProbe(a *assessment, p *probe, over string) reachState {
	peer, port, sent := p.peer.Name, p.peer.Port, p.burst.Sent
	add := func(status health.Status, format string, args ...any) { a.add(status, over+format, args...) }
	fail := func(format string, args ...any) reachState {
		a.findings = append(a.findings, finding{
			status: health.Critical, text: over + fmt.Sprintf(format, args...),
			evidence: health.Evidence{Value: 1, Threshold: c.limits.Loss.Critical, Unit: "ratio"},
		})
		return unreachable
	}
	switch {
	case p.burstErr != nil && barred(p.burstErr):
		return fail("no packet can be sent: %s", cause(p.burstErr, 0))
	case p.burstErr != nil:
		add(health.Unknown, "no packet can be sent: %s", cause(p.burstErr, 0))
	case len(p.burst.Answers) > 0:
		c.judgeAnswers(a, p, over)
		return reached
	case p.burst.Refused || errors.Is(p.connectErr, syscall.ECONNREFUSED):
		add(health.Unknown, "%s is there, but nobody listens on its echo port %d: its agent does not run, or not on that address", peer, port)
	case p.getErr == nil:
		return fail("HTTP is answered, but %s", p.unanswered(c.other))
	case p.connectErr == nil:
		add(health.Unknown, "echo port %d of %s takes TCP connections, but neither UDP nor HTTP is answered (%s): its agent hangs, or has another key", port, peer, cause(p.getErr, c.settings.AnswerTimeout))
	case len(p.pinged.trips) > 0:
		add(health.Warning, "ping is answered, but neither UDP nor TCP on echo port %d: a firewall is in the way, or the agent of %s hangs", port, peer)
	case c.onTop && errors.Is(p.arrivedErr, syscall.ECONNREFUSED):
		add(health.Unknown, "none of %d requests is answered, but nobody listens on echo port %d over %s either: the agent of %s does not run", sent, port, c.other, peer)
	case c.onTop && p.arrivedErr != nil:
		add(health.Unknown, "none of %d requests is answered, but neither are they over %s: it is not %s", sent, c.other, c.network)
	default:
		return fail("%s", p.unanswered(c.other))
	}
	return untold
}

// unanswered words that no request was answered, and on which way it is lost.
func (p *probe) unanswered(other string) string {
	sent, peer := p.burst.Sent, p.peer.Name
	text := fmt.Sprintf("none of %d UDP requests is answered", sent)
	switch {
	case p.arrived == 0:
		text = fmt.Sprintf("none of %d UDP requests arrives at %s, which answers over %s", sent, peer, other)
	case p.arrived > 0:
		text = fmt.Sprintf("%d of %d UDP requests arrive at %s, but none of its answers comes back", p.arrived, sent, peer)
	}
	if p.burst.Err != nil {
		text += " (" + cause(p.burst.Err, 0) + ")"
	}
	return text
}

// judgeAnswers judges a way that carries at least some packets.
func (c *reach) judgeAnswers(a *assessment, p *probe, over string) {
	peer, sent, answers := p.peer.Name, p.burst.Sent, len(p.burst.Answers)
	loss := 1 - float64(answers)/float64(sent)
	_, limit := c.limits.Loss.judge(0)
	a.measured = health.Evidence{Value: loss, Threshold: limit, Unit: "ratio"}

	lost := fmt.Sprintf("%s%d of %d UDP requests are not answered", over, sent-answers, sent)
	if p.arrived >= 0 {
		lost += fmt.Sprintf(": %d are lost on the way to %s, %d answers on the way back", sent-p.arrived, peer, p.arrived-answers)
	}
	a.hold(loss, c.limits.Loss, "ratio", "%s", lost)

	trip := medianTrip(p.trips()).Seconds()
	a.hold(trip, c.limits.RoundTrip.seconds(), "seconds", "%sthe round trip takes %s (median of %d)", over, seconds(trip), answers)

	switch {
	case errors.Is(p.connectErr, syscall.ECONNREFUSED):
		a.add(health.Warning, "%sUDP is answered, but TCP port %d is refused", over, p.peer.Port)
	case p.connectErr != nil:
		a.add(health.Critical, "%sUDP is answered, but no TCP connection is made to port %d: %s", over, p.peer.Port, cause(p.connectErr, c.settings.AnswerTimeout))
	case p.getErr != nil:
		a.add(health.Warning, "%sTCP connects, but HTTP fails: %s", over, cause(p.getErr, c.settings.AnswerTimeout))
	}
	if who := p.burst.Answers[0].Node; who != peer {
		a.add(health.Warning, "%s%s answers there instead of %s: two nodes have one address", over, clip(who, 100), peer)
	}
}

// barred tells whether err says that this node's own routes or rules let no
// packet out.
func barred(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EPERM, syscall.EACCES, syscall.ENETDOWN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// judgeOwn judges this node's own end. addresses are its own in the network.
func (c *reach) judgeOwn(a *assessment, count tally) {
	judged := count[reached] + count[unreachable]
	if !count.mostFail() {
		a.measured = health.Evidence{Value: float64(count[unreachable]), Unit: "peers"}
		return
	}
	number := "none"
	if count[reached] > 0 {
		number = fmt.Sprintf("only %d", count[reached])
	}
	a.findings = append(a.findings, finding{
		status:   health.Critical,
		text:     fmt.Sprintf("%s of %d peers is reached over %s: look for the cause on %s first", number, judged, c.network, c.node),
		evidence: health.Evidence{Value: float64(count[unreachable]), Threshold: float64(judged/2 + 1), Unit: "peers"},
	})
}

func addressesOf(addrs []netip.Addr) []string {
	var words []string
	for _, a := range addrs {
		words = append(words, a.String())
	}
	return words
}
