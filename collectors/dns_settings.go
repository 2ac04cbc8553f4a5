package collectors

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// dnsSettings is the block "dns" of the configuration file. Servers are given
// by address, "10.96.0.10" or "[fd00::a]:5353": a name would need DNS.
type dnsSettings struct {
	Timing `yaml:",inline"`

	// Resolvers are what programs on this node ask. Empty means the name
	// servers of /etc/resolv.conf, and of the file that the kubelet hands on
	// to pods.
	Resolvers []string `yaml:"resolvers"`
	// ClusterDNS are the addresses of the cluster's DNS Service. Empty means
	// those of the kubelet's configuration, of NodeLocal DNSCache when it is
	// here, else of the Service itself when the API server tells it.
	ClusterDNS []string `yaml:"cluster_dns"`
	// Endpoints are the DNS pods, asked directly. Empty means those that the
	// API server lists for k8s-app=kube-dns.
	Endpoints []string `yaml:"endpoints"`
	// MaxEndpoints is how many of the listed endpoints this node asks: other
	// nodes ask others.
	MaxEndpoints int `yaml:"max_endpoints"`
	// Kubeconfig is for listing endpoints; empty means it is looked for.
	Kubeconfig string `yaml:"kubeconfig"`

	// ClusterDomain is that of the kubelet's configuration when empty, else
	// cluster.local.
	ClusterDomain string `yaml:"cluster_domain"`
	// ClusterName is asked of the cluster's servers; empty means
	// kubernetes.default.svc in the cluster's domain. Every address it
	// resolves to must be one of ClusterAddresses; empty means those of the
	// API's Service when they are known, else any.
	ClusterName      string   `yaml:"cluster_name"`
	ClusterAddresses []string `yaml:"cluster_addresses"`

	// OutsideName is asked of every server; empty switches that off. Every
	// address must lie within OutsideAddresses, addresses or networks, if
	// there are any.
	OutsideName      string   `yaml:"outside_name"`
	OutsideAddresses []string `yaml:"outside_addresses"`
	// OutsideRequired makes it a warning whenever OutsideName is not
	// resolved. Without, it is one only after some server has resolved it
	// since the agent's start: in a room without a way out nothing ever does,
	// and nobody is to be told every day.
	OutsideRequired bool `yaml:"outside_required"`

	// QueryTimeout of each query. 5 s is that of resolv.conf(5), after which
	// programs ask the next server.
	QueryTimeout time.Duration `yaml:"query_timeout"`

	Thresholds dnsThresholds `yaml:"thresholds"`
}

// dnsThresholds are held against what one run sees.
type dnsThresholds struct {
	// Latency of what a server answers from its own memory. 4 s is the limit
	// of CoreDNS' mixin (CoreDNSLatencyHigh), for a p99; from half a second
	// on, a pod that walks a search list of four waits for two seconds.
	Latency DurationLimits `yaml:"latency"`
	// OutsideLatency includes the servers behind. 4 s is the limit of
	// CoreDNS' mixin (CoreDNSForwardLatencyHigh).
	OutsideLatency DurationLimits `yaml:"outside_latency"`
	// SearchDuration of a pod's lookup of the outside name, with all the
	// names of the search list that it tries before.
	SearchDuration DurationLimits `yaml:"search_duration"`
	// SearchDomains of a pod. glibc before 2.26 ignores those after the sixth
	// (resolv.conf(5)); so did Kubernetes before 1.28.
	SearchDomains Limits `yaml:"search_domains"`
}

func defaultDNSSettings() *dnsSettings {
	return &dnsSettings{
		Timing:       Timing{Interval: 15 * time.Second, Timeout: 12 * time.Second, FailureThreshold: 2, SuccessThreshold: 2},
		MaxEndpoints: 5,
		OutsideName:  "example.com",
		QueryTimeout: 5 * time.Second,
		Thresholds: dnsThresholds{
			Latency:        DurationLimits{Warning: 500 * time.Millisecond, Critical: 4 * time.Second},
			OutsideLatency: DurationLimits{Warning: 4 * time.Second},
			SearchDuration: DurationLimits{Warning: 2 * time.Second},
			SearchDomains:  Limits{Warning: 7},
		},
	}
}

// maxDNSServers bounds each list of servers.
const maxDNSServers = 16

// Validate names the first impossible value by its key.
func (s *dnsSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	for _, list := range []struct {
		key     string
		servers []string
	}{{"resolvers", s.Resolvers}, {"cluster_dns", s.ClusterDNS}, {"endpoints", s.Endpoints}} {
		if len(list.servers) > maxDNSServers {
			return fmt.Errorf("%s: %d servers; %d are the most", list.key, len(list.servers), maxDNSServers)
		}
		seen := make(map[netip.AddrPort]bool)
		for _, server := range list.servers {
			address, err := parseDNSServer(server, dnsPort)
			if err != nil {
				return fmt.Errorf("%s: %w", list.key, err)
			}
			if seen[address] {
				return fmt.Errorf("%s: %s stands there twice", list.key, address)
			}
			seen[address] = true
		}
	}
	for key, name := range map[string]string{"cluster_domain": s.ClusterDomain, "cluster_name": s.ClusterName, "outside_name": s.OutsideName} {
		if _, ok := dns.IsDomainName(name); name != "" && !ok || strings.ContainsAny(name, " \t/:") {
			return fmt.Errorf("%s: %q is not a domain name", key, clip(name, 100))
		}
	}
	for _, address := range s.ClusterAddresses {
		if _, err := netip.ParseAddr(address); err != nil {
			return fmt.Errorf("cluster_addresses: %q is not an address", clip(address, 100))
		}
	}
	for _, network := range s.OutsideAddresses {
		if _, err := parseNetwork(network); err != nil {
			return fmt.Errorf("outside_addresses: %w", err)
		}
	}
	t := s.Thresholds
	switch {
	case s.MaxEndpoints < 0 || s.MaxEndpoints > maxDNSServers:
		return fmt.Errorf("max_endpoints: %d is not between 0 and %d", s.MaxEndpoints, maxDNSServers)
	case s.QueryTimeout <= 0 || s.QueryTimeout > s.Timeout/2:
		return fmt.Errorf("query_timeout: %v is not above 0 and at most half of the timeout %v", s.QueryTimeout, s.Timeout)
	case s.OutsideRequired && s.OutsideName == "":
		return errors.New("outside_required: there is no outside_name")
	}
	return validateLimits(
		namedLimits{"latency", t.Latency.seconds(), false},
		namedLimits{"outside_latency", t.OutsideLatency.seconds(), false},
		namedLimits{"search_duration", t.SearchDuration.seconds(), false},
		namedLimits{"search_domains", t.SearchDomains, false},
	)
}

// parseDNSServer reads an address with or without a port.
func parseDNSServer(s string, port uint16) (netip.AddrPort, error) {
	if address, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(address.Unmap(), port), nil
	}
	address, err := netip.ParseAddrPort(s)
	if err != nil || address.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address, with or without a port", clip(s, 100))
	}
	return netip.AddrPortFrom(address.Addr().Unmap(), address.Port()), nil
}

// parseNetwork reads a network, or an address as the network of it alone.
func parseNetwork(s string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network", clip(s, 100))
	}
	return network.Masked(), nil
}
