package collectors

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/grapevine-mesh/grapevine/health"
)

// searchSubject is the verdict on what a pod's lookup costs.
const searchSubject = "search list"

const (
	// searchEvery is how often the list is walked: it takes more queries
	// than all the rest, and changes less.
	searchEvery = 5 * time.Minute
	// podNdots is what the kubelet writes into a pod's resolv.conf: names
	// with fewer dots are tried with the search list first.
	podNdots = 5
	// maxSearch bounds the names that are tried; Kubernetes allows 32
	// entries.
	maxSearch = 40
)

// dnsWalk is a pod's lookup of the outside name, done as its resolver does.
type dnsWalk struct {
	at       time.Time // zero before the first
	search   string    // the list that was walked, joined
	server   string    // that was asked; empty when none answered
	queries  int
	took     time.Duration
	resolved bool // the outside name itself was reached and resolved
	findings []string
}

// judgeSearch walks the search list when it is time to, and judges the last
// walk. Without a cluster's DNS on this node there are no pods to think of.
func (c *dnsCheck) judgeSearch(ctx context.Context, r *Report, node *dnsNode, servers []*dnsServer) {
	var server *dnsServer
	pods := false
	for _, s := range servers {
		pods = pods || s.clusterName != ""
		if s.clusterName != "" && s.answered() && server == nil {
			server = s
		}
	}
	if !pods {
		return
	}
	search := node.podSearch(strings.TrimSuffix(c.domain(node), "."))
	a := &assessment{about: fmt.Sprintf("the search list of pods on this node, %s,", clip(strings.Join(search, " "), 160))}
	a.hold(float64(len(search)), c.settings.Thresholds.SearchDomains, "entries",
		"has %d entries: older resolvers ignore those after the sixth, and every lookup of an outside name tries all of them", len(search))
	r.Sample(&dnsSearchDomains, float64(len(search)))
	if c.settings.OutsideName != "" {
		c.walk(ctx, a, search, server)
		w := &c.walked
		r.Sample(&dnsSearchQueries, float64(w.queries))
		r.Sample(&dnsSearchSeconds, w.took.Seconds())
		r.Sample(&dnsSearchSuccess, boolean(w.resolved))
	}
	a.verdict(r, searchSubject)
}

func (c *dnsCheck) walk(ctx context.Context, a *assessment, search []string, server *dnsServer) {
	list := strings.Join(search, " ")
	switch w := &c.walked; {
	case server == nil:
		c.walked = dnsWalk{}
		a.add(health.Unknown, "cannot be tried: no DNS server of the cluster answers")
		return
	case w.at.IsZero() || time.Since(w.at) >= searchEvery || w.search != list || len(w.findings) > 0 && time.Since(w.at) >= time.Minute:
		c.walked = c.lookup(ctx, search, server)
		c.walked.search = list
	}
	w := &c.walked
	for _, finding := range w.findings {
		a.add(health.Warning, "%s", finding)
	}
	limits := c.settings.Thresholds.SearchDuration.seconds()
	a.hold(w.took.Seconds(), limits, "seconds", "made a lookup of %s take %s and %d queries by %s",
		c.settings.OutsideName, seconds(w.took.Seconds()), w.queries, w.server)
	_, limit := limits.judge(0)
	a.measured = health.Evidence{Value: w.took.Seconds(), Threshold: limit, Unit: "seconds"}
}

// lookup tries one name after the other, each for IPv4 and IPv6 at once, and
// ends at the first that has an address.
func (c *dnsCheck) lookup(ctx context.Context, search []string, server *dnsServer) dnsWalk {
	w := dnsWalk{at: time.Now(), server: server.String()}
	outside := strings.TrimSuffix(c.settings.OutsideName, ".")
	conf := dns.ClientConfig{Search: search, Ndots: podNdots}
	names := conf.NameList(outside)
	for _, name := range names[:min(len(names), maxSearch)] {
		if ctx.Err() != nil {
			w.findings = append(w.findings, fmt.Sprintf("was not walked to its end: the time was up before %s", clip(name, 100)))
			break
		}
		answers := make([]dnsAnswer, 2)
		started := time.Now()
		var asked parallel
		for i, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			asked.run(func() {
				ctx, cancel := context.WithTimeout(ctx, c.settings.QueryTimeout)
				defer cancel()
				answers[i] = exchangeDNS(ctx, "udp", server.address, name, rrtype)
			})
		}
		asked.wait()
		w.queries += len(answers)
		w.took += time.Since(started)
		itself := name == dns.Fqdn(outside)
		if answers[0].resolved() || answers[1].resolved() {
			w.resolved = itself
			if !itself {
				found := append(answers[0].addresses, answers[1].addresses...)
				w.findings = append(w.findings, fmt.Sprintf("leads pods astray: %s resolves to %s, so that they get this for %s; is there a wildcard in that domain?",
					clip(name, 100), join(found), clip(outside, 100)))
			}
			break
		}
		if itself {
			continue // judged with the server
		}
		for i := range answers {
			if answers[i].err != nil || answers[i].rcode != dns.RcodeNameError && answers[i].rcode != dns.RcodeSuccess {
				w.findings = append(w.findings, fmt.Sprintf("holds up lookups: %s of the list brings %s", clip(strings.TrimPrefix(name, outside+"."), 100), answers[i].problem()))
				break
			}
		}
	}
	return w
}
