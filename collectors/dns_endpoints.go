package collectors

import (
	"cmp"
	"context"
	"hash/fnv"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

// dnsEndpoint is a DNS pod of the cluster.
type dnsEndpoint struct {
	address netip.AddrPort
	pod     string // empty when not known
	node    string
}

// dnsDirectory is what the API server last told of the cluster's DNS. It is
// kept when the API server is gone: that is when DNS has to be looked at.
type dnsDirectory struct {
	kube *kubeAPI // nil without credentials
	node string   // this node's name

	// Touched by one run at a time.
	asked     time.Time // when it was last asked for, zero for never
	read      time.Time // when endpoints was last read
	err       error     // of the last attempt
	services  []netip.Addr
	api       []netip.Addr // ClusterIPs of the API's Service
	endpoints []dnsEndpoint
}

const (
	// directoryFresh is how long a list is taken for true while all of it
	// answers, directoryRetry how long after a failure it is asked for again.
	directoryFresh = 5 * time.Minute
	directoryRetry = 30 * time.Second
	// directoryDoubt is how old a list must be to be asked for again because
	// a server on it does not answer.
	directoryDoubt = 10 * time.Second
	// directoryPatience is the time an API server gets.
	directoryPatience = 2 * time.Second
)

// The objects, as far as they are read.
type (
	kubeService struct {
		Spec struct {
			ClusterIPs []string `json:"clusterIPs"`
		} `json:"spec"`
	}
	kubeServiceList struct {
		Items []kubeService `json:"items"`
	}
	kubeSliceList struct {
		Items []struct {
			Endpoints []struct {
				Addresses  []string `json:"addresses"`
				NodeName   string   `json:"nodeName"`
				Conditions struct {
					Ready *bool `json:"ready"`
				} `json:"conditions"`
				TargetRef struct {
					Name string `json:"name"`
				} `json:"targetRef"`
			} `json:"endpoints"`
			Ports []struct {
				Port     uint16 `json:"port"`
				Protocol string `json:"protocol"`
			} `json:"ports"`
		} `json:"items"`
	}
)

// dnsSelector finds the cluster's DNS however it was installed. Version 0 is
// what the API server has in memory: etcd is not asked by every node.
var dnsSelector = url.Values{"labelSelector": {"k8s-app=kube-dns"}, "resourceVersion": {"0"}}

// refresh asks the API server when what is known is old, or in doubt.
func (d *dnsDirectory) refresh(ctx context.Context, doubt bool) {
	since := time.Since(d.asked)
	fresh := directoryFresh
	if d.err != nil || len(d.api) == 0 { // a young cluster, or one that denies it
		fresh = directoryRetry
	}
	if d.kube == nil || since < fresh && (!doubt || since < directoryDoubt || d.err != nil) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, directoryPatience)
	defer cancel()
	d.asked = time.Now()
	var listed kubeSliceList
	if d.err = d.kube.get(ctx, "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", dnsSelector, &listed); d.err == nil {
		d.endpoints, d.read = listed.ready(), time.Now()
	}
	// Each for itself: a kubelet's credentials may read Services, and no
	// EndpointSlices. What was learned does not change while a cluster lives.
	if len(d.services) == 0 {
		var services kubeServiceList
		if d.kube.get(ctx, "/api/v1/namespaces/kube-system/services", dnsSelector, &services) == nil {
			for _, s := range services.Items {
				d.services = append(d.services, s.addresses()...)
			}
			d.services = d.services[:min(len(d.services), maxDNSServers)]
		}
	}
	if len(d.api) == 0 {
		var service kubeService
		if d.kube.get(ctx, "/api/v1/namespaces/default/services/kubernetes", nil, &service) == nil {
			d.api = service.addresses()
		}
	}
}

func (s *kubeService) addresses() []netip.Addr {
	var all []netip.Addr
	for _, ip := range s.Spec.ClusterIPs {
		if address, err := netip.ParseAddr(ip); err == nil { // "None" is no address
			all = append(all, address.Unmap())
		}
	}
	return all
}

// deserted tells whether the cluster's DNS has no endpoint that is ready.
func (d *dnsDirectory) deserted() bool {
	return !d.read.IsZero() && d.err == nil && len(d.endpoints) == 0
}

// ready returns the endpoints that the Service sends queries to.
func (l *kubeSliceList) ready() []dnsEndpoint {
	var all []dnsEndpoint
	for _, slice := range l.Items {
		port := uint16(0)
		for _, p := range slice.Ports {
			if p.Protocol == "UDP" {
				port = p.Port
			}
		}
		if port == 0 {
			continue
		}
		for _, e := range slice.Endpoints {
			if len(e.Addresses) == 0 || e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			// The others of Addresses are the same endpoint once more.
			if address, err := netip.ParseAddr(e.Addresses[0]); err == nil {
				all = append(all, dnsEndpoint{
					address: netip.AddrPortFrom(address.Unmap(), port),
					pod:     clip(e.TargetRef.Name, 80), node: clip(e.NodeName, 80),
				})
			}
		}
	}
	return all
}

// share picks the endpoints that this node asks. Each node orders them in a
// way of its own that does not change as others come and go, so that each
// endpoint is asked by some nodes, however many there are.
func (d *dnsDirectory) share(most int) []dnsEndpoint {
	rank := func(e dnsEndpoint) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(d.node + "\x00" + e.address.String()))
		return h.Sum64()
	}
	all := slices.Clone(d.endpoints)
	slices.SortFunc(all, func(x, y dnsEndpoint) int { return cmp.Compare(rank(x), rank(y)) })
	return all[:min(len(all), most)]
}
