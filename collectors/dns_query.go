package collectors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsPort = 53
	// maxDNSPacket bounds what is read of one UDP answer. Without EDNS, which
	// glibc does not use by default and neither do we, 512 bytes are allowed.
	maxDNSPacket = 4096
	// maxDNSPackets bounds how many packets are read for one query.
	maxDNSPackets = 50
	// maxDNSAddresses bounds what is kept of one answer.
	maxDNSAddresses = 16
)

// dnsAnswer is what one query brought.
type dnsAnswer struct {
	rcode     int // as RFC 6895 numbers them; -1 without an answer
	addresses []netip.Addr
	truncated bool
	err       error         // why there is no answer
	strange   string        // what came instead of an answer, or before it
	took      time.Duration // without connecting; when it failed, the time until then
}

// answered tells whether the server said anything that fits the question.
func (a *dnsAnswer) answered() bool { return a.err == nil }

// resolved tells whether there are addresses, or that there are more of them
// than fit.
func (a *dnsAnswer) resolved() bool {
	return a.err == nil && a.rcode == dns.RcodeSuccess && (len(a.addresses) > 0 || a.truncated)
}

// problem words why a is not resolved: "NXDOMAIN", "no answer within 5 s".
func (a *dnsAnswer) problem() string {
	switch {
	case a.err != nil && a.strange != "":
		return cause(a.err, a.took) + " (" + a.strange + ")"
	case a.err != nil:
		return cause(a.err, a.took)
	case a.rcode == dns.RcodeSuccess:
		return "an empty answer"
	}
	if name, ok := dns.RcodeToString[a.rcode]; ok {
		return name
	}
	return fmt.Sprintf("response code %d", a.rcode)
}

// queryDNS asks server for the IPv4 addresses of name, which ends with a dot,
// and when it has none for the IPv6 ones.
func queryDNS(ctx context.Context, network string, server netip.AddrPort, name string, patience time.Duration) dnsAnswer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer := exchangeDNS(ctx, network, server, name, dns.TypeA)
	if answer.err == nil && answer.rcode == dns.RcodeSuccess && !answer.resolved() {
		if six := exchangeDNS(ctx, network, server, name, dns.TypeAAAA); six.resolved() {
			return six
		}
	}
	return answer
}

// exchangeDNS sends one query and waits for what answers it. Of UDP packets
// that do not fit it takes note and waits on: anybody could have sent them.
func exchangeDNS(ctx context.Context, network string, server netip.AddrPort, name string, rrtype uint16) (a dnsAnswer) {
	a.rcode = -1
	start := time.Now()
	defer func() { a.took = time.Since(start) }()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, server.String())
	if err != nil {
		a.err = err
		return a
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	query := new(dns.Msg).SetQuestion(name, rrtype)
	talk := &dns.Conn{Conn: conn, UDPSize: maxDNSPacket}
	start = time.Now()
	if err := talk.WriteMsg(query); err != nil {
		a.err = err
		return a
	}
	for range maxDNSPackets {
		packet, err := talk.ReadMsgHeader(nil)
		if err != nil && !errors.Is(err, dns.ErrShortRead) {
			a.err = err
			return a
		}
		reply := new(dns.Msg)
		if a.strange = misfit(query, reply, packet); a.strange == "" {
			a.read(reply)
			return a
		}
		if network == "tcp" {
			a.err = errors.New(a.strange)
			a.strange = ""
			return a
		}
	}
	a.err = fmt.Errorf("no answer among %d packets", maxDNSPackets)
	return a
}

// misfit reads packet into reply, and says why it does not answer query.
func misfit(query, reply *dns.Msg, packet []byte) string {
	err := reply.Unpack(packet)
	switch {
	case err != nil:
		return "what came is no DNS message"
	case !reply.Response:
		return "what came is a question, not an answer"
	case reply.Id != query.Id:
		return "what came has another query id"
	case len(reply.Question) == 0 && reply.Rcode != dns.RcodeSuccess:
		return "" // some servers leave it out when they refuse
	case len(reply.Question) != 1 || dns.CanonicalName(reply.Question[0].Name) != dns.CanonicalName(query.Question[0].Name) ||
		reply.Question[0].Qtype != query.Question[0].Qtype:
		return "what came answers another question"
	}
	return ""
}

// read takes over what the reply says of the name that was asked, by way of
// its aliases.
func (a *dnsAnswer) read(reply *dns.Msg) {
	a.rcode, a.truncated = reply.Rcode, reply.Truncated
	if len(reply.Question) == 0 {
		return
	}
	names := map[string]bool{dns.CanonicalName(reply.Question[0].Name): true}
	for _, rr := range reply.Answer {
		if !names[dns.CanonicalName(rr.Header().Name)] {
			continue
		}
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.CNAME:
			names[dns.CanonicalName(rr.Target)] = true
			continue
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if address, ok := netip.AddrFromSlice(ip); ok && len(a.addresses) < maxDNSAddresses {
			a.addresses = append(a.addresses, address.Unmap())
		}
	}
}
