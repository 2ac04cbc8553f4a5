package collectors

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/grapevine-mesh/grapevine/health"
)

// dnsServer is one server and what it answered in this run.
type dnsServer struct {
	address     netip.AddrPort
	roles       []string // "cluster DNS of /var/lib/kubelet/config.yaml"
	clusterName string   // empty when it need not know the cluster's names
	endpoint    *dnsEndpoint
	remembered  time.Duration // age of the list that names the endpoint, when it could not be read anew

	mu      sync.Mutex // guards answers
	answers map[dnsAsked]dnsAnswer
}

// dnsAsked is what was asked, and how.
type dnsAsked struct{ question, protocol string }

// localName is answered by resolvers themselves (RFC 6761), so it tells a
// dead one from one whose own servers are dead.
const localName = "localhost."

func (s *dnsServer) String() string { return s.address.String() }

// main is the question that the server answers out of its own memory.
func (s *dnsServer) main() (question, name string) {
	if s.clusterName != "" {
		return "cluster", s.clusterName
	}
	return "local", localName
}

func (s *dnsServer) answered() bool {
	for _, a := range s.answers {
		if a.answered() {
			return true
		}
	}
	return false
}

func (s *dnsServer) resolvedOutside() bool {
	for asked, a := range s.answers {
		if asked.question == "outside" && a.resolved() {
			return true
		}
	}
	return false
}

// ask makes all queries to one server.
func (c *dnsCheck) ask(ctx context.Context, s *dnsServer) {
	s.answers = make(map[dnsAsked]dnsAnswer)
	query := func(question, name, protocol string) dnsAnswer {
		a := queryDNS(ctx, protocol, s.address, name, c.settings.QueryTimeout)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answers[dnsAsked{question, protocol}] = a
		return a
	}
	var asked parallel
	question, name := s.main()
	asked.run(func() { query(question, name, "udp") })
	asked.run(func() { query(question, name, "tcp") })
	if c.settings.OutsideName != "" {
		asked.run(func() {
			outside := dns.Fqdn(c.settings.OutsideName)
			if a := query("outside", outside, "udp"); a.truncated {
				query("outside", outside, "tcp")
			}
		})
	}
	asked.wait()
}

// judge exports and judges the answers of one server. others are all servers
// of this run, with itself.
func (c *dnsCheck) judge(r *Report, s *dnsServer, others []*dnsServer) {
	subject := s.String()
	about := "DNS server " + subject + " (" + strings.Join(s.roles, ", ")
	if s.endpoint != nil && s.endpoint.pod != "" {
		about += " " + s.endpoint.pod + " on node " + s.endpoint.node
	}
	a := &assessment{about: clip(about, 200) + ")"}
	question, name := s.main()
	udp, tcp := s.answers[dnsAsked{question, "udp"}], s.answers[dnsAsked{question, "tcp"}]
	limits := c.settings.Thresholds.Latency.seconds()
	_, limit := limits.judge(0)
	a.measured = health.Evidence{Value: udp.took.Seconds(), Threshold: limit, Unit: "seconds"}
	switch {
	case !s.answered():
		c.judgeSilent(a, s, others, udp, tcp)
	case !udp.answered() && tcp.answered():
		a.add(health.Critical, "answers over TCP, but not over UDP, which is asked first: %s", udp.problem())
	case !udp.answered():
		a.add(health.Critical, "does not answer %s: %s", name, udp.problem())
	default:
		a.hold(udp.took.Seconds(), limits, "seconds", "took %s for %s", seconds(udp.took.Seconds()), name)
		switch {
		case tcp.answered():
		case udp.truncated:
			a.add(health.Critical, "truncates its answer over UDP, and over TCP there is none: %s", tcp.problem())
		case s.clusterName != "": // not every provider's resolver does TCP
			a.add(health.Warning, "answers over UDP, but not over TCP, so that large answers fail: %s", tcp.problem())
		}
	}
	for _, answer := range []dnsAnswer{udp, tcp} {
		if s.clusterName != "" && answer.answered() {
			c.judgeCluster(a, s, answer)
		}
	}
	if s.answered() && c.settings.OutsideName != "" {
		c.judgeOutside(a, s)
	}
	c.export(r, s)
	a.verdict(r, subject)
}

// judgeSilent judges a server that answers nothing at all. It is a warning
// only while another of its kind does its work, or when it may be gone.
func (c *dnsCheck) judgeSilent(a *assessment, s *dnsServer, others []*dnsServer, udp, tcp dnsAnswer) {
	status := health.Critical
	replaced := slices.ContainsFunc(others, func(o *dnsServer) bool {
		return o.clusterName == "" && o.answered()
	})
	if s.clusterName == "" && replaced || s.remembered > 0 {
		status = health.Warning
	}
	words := udp.problem()
	if over := tcp.problem(); over != words && tcp.err != nil && !timedOut(tcp.err) {
		words += "; over TCP: " + over
	}
	if s.clusterName != "" && s.endpoint == nil && c.directory.deserted() {
		words += "; the API server lists no ready endpoint of the cluster's DNS"
	}
	if s.remembered > 0 {
		words += fmt.Sprintf("; whether it still exists is not known: the list of endpoints is %s old, and the API server %v",
			seconds(s.remembered.Round(time.Second).Seconds()), c.directory.err)
	}
	a.add(status, "does not answer: %s", words)
}

// judgeCluster judges an answer about the cluster's own name.
func (c *dnsCheck) judgeCluster(a *assessment, s *dnsServer, answer dnsAnswer) {
	if !answer.resolved() {
		a.add(health.Critical, "answers %s with %s", s.clusterName, answer.problem())
		return
	}
	expected := c.expected()
	for _, address := range answer.addresses {
		if len(expected) > 0 && !slices.Contains(expected, address) {
			a.add(health.Critical, "answers %s with %v, not %s", s.clusterName, address, join(expected))
			return
		}
	}
}

// expected is what the cluster's name resolves to; empty when not known.
func (c *dnsCheck) expected() []netip.Addr {
	var all []netip.Addr
	for _, address := range c.settings.ClusterAddresses {
		if parsed, err := netip.ParseAddr(address); err == nil {
			all = append(all, parsed.Unmap())
		}
	}
	if len(all) == 0 && c.settings.ClusterName == "" {
		all = c.directory.api
	}
	return all
}

// judgeOutside judges the answer about a name outside the cluster.
func (c *dnsCheck) judgeOutside(a *assessment, s *dnsServer) {
	answer := s.answers[dnsAsked{"outside", "udp"}]
	name := c.settings.OutsideName
	if whole, ok := s.answers[dnsAsked{"outside", "tcp"}]; ok {
		if !whole.answered() {
			a.add(health.Warning, "truncates its answer to %s over UDP, and over TCP there is none: %s", name, whole.problem())
		} else {
			answer = whole
		}
	}
	if !answer.resolved() {
		if c.settings.OutsideRequired || c.outsideSeen {
			a.add(health.Warning, "does not resolve the outside name %s: %s", name, answer.problem())
		}
		return
	}
	a.hold(answer.took.Seconds(), c.settings.Thresholds.OutsideLatency.seconds(), "seconds",
		"took %s for the outside name %s", seconds(answer.took.Seconds()), name)
	for _, address := range answer.addresses {
		if wrong := c.wrongOutside(address); wrong != "" {
			a.add(health.Warning, "answers the outside name %s with %v, %s", name, address, wrong)
			return
		}
	}
}

// wrongOutside says why an outside name cannot have an address. Private ones
// may be right: a room may have names of its own.
func (c *dnsCheck) wrongOutside(address netip.Addr) string {
	if len(c.settings.OutsideAddresses) == 0 {
		if address.IsUnspecified() || address.IsLoopback() {
			return "which no other machine has"
		}
		return ""
	}
	for _, network := range c.settings.OutsideAddresses {
		if parsed, err := parseNetwork(network); err == nil && parsed.Contains(address) {
			return ""
		}
	}
	return "not " + clip(strings.Join(c.settings.OutsideAddresses, ", "), 100)
}

func (c *dnsCheck) export(r *Report, s *dnsServer) {
	server := s.String()
	r.Sample(&dnsUp, boolean(s.answered()), server)
	for asked, answer := range s.answers {
		success := answer.resolved() || asked.question == "local" && answer.answered()
		if expected := c.expected(); asked.question == "cluster" && len(expected) > 0 {
			success = success && !slices.ContainsFunc(answer.addresses, func(x netip.Addr) bool { return !slices.Contains(expected, x) })
		}
		r.Sample(&dnsLast, answer.took.Seconds(), server, asked.question, asked.protocol)
		r.Sample(&dnsSuccess, boolean(success), server, asked.question, asked.protocol)
		r.Sample(&dnsCode, float64(answer.rcode), server, asked.question, asked.protocol)
		if asked.protocol == "udp" {
			r.Sample(&dnsTruncated, boolean(answer.truncated), server, asked.question)
		}
		if answer.answered() {
			c.latency.WithLabelValues(asked.question, asked.protocol).Observe(answer.took.Seconds())
		}
	}
}

// join words addresses: "10.96.0.1, fd00::1".
func join(addresses []netip.Addr) string {
	words := make([]string, len(addresses))
	for i, address := range addresses {
		words[i] = address.String()
	}
	return clip(strings.Join(words, ", "), 200)
}
