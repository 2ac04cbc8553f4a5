package collectors

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/grapevine-mesh/grapevine/health"
)

// What the dns check exports. Labels: server is address:port; question is
// cluster, outside or local, which is "localhost"; protocol is udp or tcp.
var (
	dnsLabels = []string{"server", "question", "protocol"}

	dnsUp = Metric{
		Name: "grapevine_dns_up", Type: health.Gauge, Labels: []string{"server"},
		Help: "Whether the server answered anything in the last run, were it an error.",
	}
	dnsSeconds = Metric{
		Name: "grapevine_dns_query_duration_seconds", Type: health.Histogram, Labels: []string{"question", "protocol"},
		Help:    "Time of answered queries to all servers, without connecting.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}
	dnsLast = Metric{
		Name: "grapevine_dns_query_last_duration_seconds", Type: health.Gauge, Labels: dnsLabels,
		Help: "Time the last query took; when it was not answered, the time until it was given up.",
	}
	dnsSuccess = Metric{
		Name: "grapevine_dns_query_success", Type: health.Gauge, Labels: dnsLabels,
		Help: "Whether the last query was answered as it should be; for local, whether it was answered.",
	}
	dnsCode = Metric{
		Name: "grapevine_dns_response_code", Type: health.Gauge, Labels: dnsLabels,
		Help: "Response code of the last answer: 0 NOERROR, 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED; -1 when there was none.",
	}
	dnsTruncated = Metric{
		Name: "grapevine_dns_truncated", Type: health.Gauge, Labels: []string{"server", "question"},
		Help: "Whether the last answer over UDP said that it is not whole.",
	}
	dnsEndpointsListed = Metric{
		Name: "grapevine_dns_endpoints_listed", Type: health.Gauge,
		Help: "Whether the API server listed the cluster's DNS endpoints when it was last asked for them.",
	}
	dnsEndpointsKnown = Metric{
		Name: "grapevine_dns_endpoints_known", Type: health.Gauge,
		Help: "DNS endpoints of the cluster that are known, of which this node asks some.",
	}
	dnsSearchDomains = Metric{
		Name: "grapevine_dns_search_domains", Type: health.Gauge,
		Help: "Entries of the search list that a pod of the namespace default gets on this node.",
	}
	dnsSearchQueries = Metric{
		Name: "grapevine_dns_search_queries", Type: health.Gauge,
		Help: "Queries, IPv4 and IPv6, that a pod's lookup of the outside name takes by its search list and ndots:5.",
	}
	dnsSearchSeconds = Metric{
		Name: "grapevine_dns_search_duration_seconds", Type: health.Gauge,
		Help: "Time that all of these queries took together, one name after the other.",
	}
	dnsSearchSuccess = Metric{
		Name: "grapevine_dns_search_success", Type: health.Gauge,
		Help: "Whether that lookup came to the outside name itself and resolved it.",
	}
)

func dnsSpec() Spec {
	return Spec{
		Name:    "dns",
		Summary: "every resolver of this node, the cluster's DNS and its endpoints: latency, wrong and missing answers, the cost of search lists",
		Why:     "Pods and nodes find nothing without DNS, and one bad server of several shows only as lookups that take five seconds now and then.",
		Remedy:  "Ask the server named: dig @SERVER kubernetes.default.svc.cluster.local, then with +tcp. When only the Service address is bad, look at kube-proxy; when endpoints are, at their pods and the pod network; when only outside names fail, at the resolvers of the node that CoreDNS runs on.",
		Subject: "server as address:port; path of a resolv.conf, for all its servers together; \"search list\" for what a pod's lookup costs",
		Metrics: []Metric{
			dnsUp, dnsSeconds, dnsLast, dnsSuccess, dnsCode, dnsTruncated, dnsEndpointsListed, dnsEndpointsKnown,
			dnsSearchDomains, dnsSearchQueries, dnsSearchSeconds, dnsSearchSuccess,
		},
		Settings: func() Settings { return defaultDNSSettings() },
	}
}

// dnsCheck asks DNS servers. Nothing is kept open between runs, as programs
// do not either.
type dnsCheck struct {
	settings  dnsSettings
	port      uint16 // where servers listen that are known by address only
	paths     Paths
	logger    log.Logger
	latency   *prometheus.HistogramVec
	directory dnsDirectory

	// Touched by one run at a time.
	outsideSeen bool // some server has resolved the outside name
	walked      dnsWalk
	complained  bool // that endpoints cannot be listed
}

// New finds out what there is to ask.
func (s *dnsSettings) New(env Env) (Collector, error) { return s.newAt(dnsPort, env) }

// newAt is New with the port of servers that are known by address only.
func (s *dnsSettings) newAt(port uint16, env Env) (Collector, error) {
	c := &dnsCheck{
		settings: *s, port: port, paths: env.Paths,
		logger:    log.With(env.Logger, "check", "dns"),
		latency:   dnsSeconds.Histogram(env.Registry),
		directory: dnsDirectory{node: env.Node},
	}
	kube, err := openKubeAPI(s.Kubeconfig, env)
	switch {
	case err == nil:
		c.directory.kube = kube
	case s.Kubeconfig != "":
		return nil, err
	}
	node := readDNSNode(env.Paths, port)
	if kube == nil && len(s.Resolvers)+len(s.ClusterDNS)+len(s.Endpoints) == 0 && len(node.resolvers) == 0 && len(node.kubelet.ClusterDNS) == 0 {
		return nil, fmt.Errorf("a DNS server is %w: no %s, no clusterDNS in %s, and none is configured",
			ErrAbsent, resolvConf, strings.Join(kubeletConfigPlaces, ", "))
	}
	return c, nil
}

// Name is the check's name.
func (c *dnsCheck) Name() string { return "dns" }

// Close ends the idle connection to the API server.
func (c *dnsCheck) Close() error {
	if c.directory.kube == nil {
		return nil
	}
	return c.directory.kube.Close()
}

// Collect asks all servers at once, and then judges each by what the others
// said.
func (c *dnsCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	node := readDNSNode(c.paths, c.port)
	c.directory.refresh(ctx, false)
	servers := c.servers(&node)
	var asked parallel
	for _, s := range servers {
		asked.run(func() { c.ask(ctx, s) })
	}
	asked.wait()
	servers = c.confirm(ctx, servers)
	for _, s := range servers {
		c.outsideSeen = c.outsideSeen || s.resolvedOutside()
	}
	for _, s := range servers {
		c.judge(r, s, servers)
	}
	for _, f := range node.resolvers {
		if len(c.settings.Resolvers) == 0 {
			c.judgeFile(r, f, servers)
		}
	}
	c.judgeSearch(ctx, r, &node, servers)
	r.Sample(&dnsEndpointsKnown, float64(len(c.directory.endpoints)))
	r.Sample(&dnsEndpointsListed, boolean(c.directory.kube != nil && c.directory.err == nil))
	if err := c.directory.err; err != nil && !c.complained {
		level.Warn(c.logger).Log("msg", "DNS endpoints cannot be listed and are not asked directly; let the agent's user list endpointslices in kube-system, or set endpoints", "err", err)
	}
	c.complained = c.directory.err != nil
	return nil
}

// domain is the cluster's, with a dot at its end.
func (c *dnsCheck) domain(node *dnsNode) string {
	for _, domain := range []string{c.settings.ClusterDomain, node.kubelet.ClusterDomain} {
		if domain != "" {
			return dns.CanonicalName(domain)
		}
	}
	return "cluster.local."
}

// servers lists what is to be asked, each once, with all that it is known as.
func (c *dnsCheck) servers(node *dnsNode) []*dnsServer {
	var servers []*dnsServer
	known := make(map[netip.AddrPort]*dnsServer)
	add := func(address netip.AddrPort, as func(*dnsServer)) {
		s := known[address]
		if s == nil {
			s = &dnsServer{address: address}
			known[address] = s
			servers = append(servers, s)
		}
		as(s)
	}
	clusterName := c.settings.ClusterName
	if clusterName == "" {
		clusterName = "kubernetes.default.svc." + c.domain(node)
	}
	cluster := func(role string) func(*dnsServer) {
		return func(s *dnsServer) {
			s.clusterName = dns.Fqdn(clusterName)
			s.roles = append(s.roles, role)
		}
	}
	for _, address := range configuredServers(c.settings.ClusterDNS) {
		add(address, cluster("cluster DNS"))
	}
	if len(c.settings.ClusterDNS) == 0 {
		found, role := node.kubelet.ClusterDNS, "cluster DNS of "+node.kubelet.file
		for _, server := range found[:min(len(found), maxResolvers)] {
			if address, err := netip.ParseAddr(server); err == nil {
				add(netip.AddrPortFrom(address.Unmap(), c.port), cluster(role))
			}
		}
		if len(found) == 0 {
			for _, address := range c.directory.services {
				add(netip.AddrPortFrom(address, c.port), cluster("Service of the cluster's DNS"))
			}
		}
		if node.nodeLocal {
			add(netip.AddrPortFrom(nodeLocalDNS, c.port), cluster("NodeLocal DNSCache"))
		}
	}
	for _, address := range configuredServers(c.settings.Endpoints) {
		add(address, cluster("DNS endpoint"))
	}
	if len(c.settings.Endpoints) == 0 {
		for _, e := range c.directory.share(c.settings.MaxEndpoints) {
			add(e.address, func(s *dnsServer) {
				cluster("DNS endpoint")(s)
				s.endpoint = &e
			})
		}
	}
	for _, address := range configuredServers(c.settings.Resolvers) {
		add(address, func(s *dnsServer) { s.roles = append(s.roles, "resolver") })
	}
	if len(c.settings.Resolvers) == 0 {
		for _, f := range node.resolvers {
			for _, address := range f.servers {
				add(address, func(s *dnsServer) { s.roles = append(s.roles, "name server of "+f.path) })
			}
		}
	}
	return servers
}

// configuredServers parses what Validate has passed.
func configuredServers(list []string) []netip.AddrPort {
	var all []netip.AddrPort
	for _, server := range list {
		if address, err := parseDNSServer(server, dnsPort); err == nil {
			all = append(all, address)
		}
	}
	return all
}

// confirm asks the API server anew when a server of the cluster does not
// answer, and drops endpoints that are gone: a pod that was moved is no fault.
func (c *dnsCheck) confirm(ctx context.Context, servers []*dnsServer) []*dnsServer {
	for _, s := range servers {
		if s.clusterName != "" && !s.answered() {
			c.directory.refresh(ctx, true)
			break
		}
	}
	listed := make(map[netip.AddrPort]bool)
	for _, e := range c.directory.endpoints {
		listed[e.address] = true
	}
	var left []*dnsServer
	for _, s := range servers {
		if s.endpoint == nil || s.answered() || listed[s.address] || len(s.roles) > 1 {
			left = append(left, s)
		}
		if s.endpoint != nil && c.directory.err != nil && !denied(c.directory.err) {
			s.remembered = time.Since(c.directory.read)
		}
	}
	return left
}
