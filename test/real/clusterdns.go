package real

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// dnsAddress is the cluster address of DNS, which kubelets write into pods.
const dnsAddress = "10.0.0.10"

// dnsManifest leads the cluster address of DNS to a server outside the cluster.
const dnsManifest = `apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: ` + dnsAddress + `, ports: [{name: dns, protocol: UDP, port: 53}, {name: dns-tcp, protocol: TCP, port: 53}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-1, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
ports: [{name: dns, protocol: UDP, port: %[2]d}, {name: dns-tcp, protocol: TCP, port: %[2]d}]
endpoints: [{addresses: [%[1]q]}]
`

// ClusterDNS answers the names of a cluster's Services, and no others, in this
// program: pods ask it by its cluster address.
type ClusterDNS struct {
	Address netip.AddrPort // as nodes reach it

	api *APIServer

	mu      sync.Mutex // guards servers
	servers []*dns.Server
}

// startDNS returns when the server answers, which kube-proxies need not know
// yet.
func (c *Cluster) startDNS(ctx context.Context) error {
	err := withFreshPorts(func() error {
		port, err := FreePort()
		if err != nil {
			return err
		}
		c.DNS = &ClusterDNS{api: c.APIServer, Address: netip.AddrPortFrom(netip.MustParseAddr(c.wires.address()), uint16(port))}
		return c.DNS.Start()
	})
	if err != nil {
		return err
	}
	_, err = c.Kubectl(ctx, fmt.Sprintf(dnsManifest, c.DNS.Address.Addr(), c.DNS.Address.Port()), "apply", "-f", "-")
	return err
}

// Start opens the ports again that Stop has closed.
func (d *ClusterDNS) Start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.servers != nil {
		return errors.New("starting the cluster's DNS: it runs already")
	}
	packets, err := net.ListenPacket("udp", d.Address.String())
	if err != nil {
		return fmt.Errorf("starting the cluster's DNS: %w: %w", errPortTaken, err)
	}
	listener, err := net.Listen("tcp", d.Address.String())
	if err != nil {
		return errors.Join(fmt.Errorf("starting the cluster's DNS: %w: %w", errPortTaken, err), packets.Close())
	}
	d.servers = []*dns.Server{{PacketConn: packets}, {Listener: listener}}
	for _, s := range d.servers {
		up := make(chan struct{})
		s.Handler, s.NotifyStartedFunc = dns.HandlerFunc(d.answer), func() { close(up) }
		go func() { _ = s.ActivateAndServe() }()
		<-up
	}
	return nil
}

// Stop closes the ports, so that who asks is told that nobody listens.
func (d *ClusterDNS) Stop() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, s := range d.servers {
		errs = append(errs, s.Shutdown())
	}
	d.servers = nil
	return errors.Join(errs...)
}

func (d *ClusterDNS) answer(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	reply.Authoritative = true
	defer func() { _ = w.WriteMsg(reply) }()
	if len(query.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		return
	}
	q := query.Question[0]
	// A resolver may ask in letters of any size, and wants them back.
	service, ours := strings.CutSuffix(strings.ToLower(q.Name), ".svc.cluster.local.")
	if !ours {
		reply.Rcode = dns.RcodeNameError
		if !dns.IsSubDomain("cluster.local.", strings.ToLower(q.Name)) {
			reply.Rcode = dns.RcodeRefused
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	address, err := d.api.clusterAddress(ctx, service)
	switch {
	case err != nil:
		reply.Rcode = dns.RcodeServerFailure
	case address == nil:
		reply.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeA:
		reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: address}}
	}
}

// clusterAddress is the cluster address of a Service that is called by
// NAME.NAMESPACE; nil when there is no such Service.
func (s *APIServer) clusterAddress(ctx context.Context, service string) (net.IP, error) {
	var services struct {
		Items []struct {
			Metadata struct{ Name, Namespace string }
			Spec     struct{ ClusterIP string }
		}
	}
	if err := s.Get(ctx, "/api/v1/services", &services); err != nil {
		return nil, err
	}
	for _, i := range services.Items {
		if i.Metadata.Name+"."+i.Metadata.Namespace == service {
			return net.ParseIP(i.Spec.ClusterIP), nil
		}
	}
	return nil, nil
}
